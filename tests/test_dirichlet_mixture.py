"""The mixture of several students' Dirichlets: its measures against draws, and its two limits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Dirichlet

from ednd_nmt.dirichlet import dirichlet_uncertainty
from ednd_nmt.dirichlet_mixture import dirichlet_mixture_uncertainty
from ednd_nmt.ensemble import ensemble_statistics
from ednd_nmt.errors import UserError
from ednd_nmt.measures import hypothesis_measures
from ednd_nmt.predictive import DirichletMixturePredictive, DirichletPredictive

MEMBERS, ROWS, CLASSES, DRAWS = 3, 4, 12, 40_000
LOGITS = 1.5 * torch.randn(MEMBERS, ROWS, CLASSES, generator=torch.Generator().manual_seed(0)).double()
PREFIX = torch.tensor([[-3.0, -4.0, -5.0], [0.0, 0.0, 0.0], [-1.0, -9.0, -2.0], [-2.0, -2.5, -1.0]]).double()
NAMES = ("total", "data", "mutual_information", "epkl", "mkl")


def draws(offset: float, weights: Tensor) -> Tensor:
    """Distributions [draws, rows, K] of the mixture, each draw with a student of its own per row."""
    torch.manual_seed(1)
    student = torch.multinomial(weights, DRAWS, replacement=True).T  # [draws, rows]
    alpha = (LOGITS.exp() + offset)[student, torch.arange(ROWS)]
    return Dirichlet(alpha).sample().clamp_min(1e-300)


@pytest.mark.parametrize("offset", [0.25, 1.0])
@pytest.mark.parametrize("weights", [None, PREFIX.softmax(-1)], ids=["uniform", "weighted"])
def test_measures_agree_with_draws(offset: float, weights: Tensor | None) -> None:
    found = dirichlet_mixture_uncertainty(list(LOGITS), offset, weights)
    p = (LOGITS.exp() + offset) / (LOGITS.exp() + offset).sum(-1, keepdim=True)
    w = torch.full((ROWS, MEMBERS), 1 / MEMBERS).double() if weights is None else weights
    mean = torch.einsum("rm,mrk->rk", w, p)
    torch.testing.assert_close(found.mean, mean)
    torch.testing.assert_close(found.total, torch.special.entr(mean).sum(-1))
    pi = draws(offset, w)
    entropy = torch.special.entr(pi).sum(-1)
    divergence = (mean * (mean.log() - pi.log())).sum(-1)
    pairwise = (pi[::2] * (pi[::2].log() - pi[1::2].log())).sum(-1)
    for value, sample in ((found.data, entropy), (found.mkl, divergence), (found.epkl, pairwise)):
        error = sample.std(0) / len(sample) ** 0.5
        assert ((value - sample.mean(0)).abs() < 4.5 * error).all()


@pytest.mark.parametrize("weights", [None, PREFIX.softmax(-1)], ids=["uniform", "weighted"])
def test_identities(weights: Tensor | None) -> None:
    found = dirichlet_mixture_uncertainty(list(LOGITS), 1.0, weights)
    torch.testing.assert_close(found.total, found.data + found.mutual_information)
    torch.testing.assert_close(found.epkl, found.mutual_information + found.mkl)
    assert all((getattr(found, name) >= 0).all() for name in NAMES)


@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_students_that_agree_are_one_student(offset: float) -> None:
    beyond = torch.tensor([[100.0, 90.0, 0.0]], dtype=torch.float64)  # both are cut at the largest logit
    for logits in (LOGITS[0], beyond):
        one = dirichlet_uncertainty(logits, offset)
        many = dirichlet_mixture_uncertainty([logits] * 3, offset)
        for name in NAMES:
            torch.testing.assert_close(getattr(many, name), getattr(one, name), rtol=1e-9, atol=1e-12)


def test_sure_students_are_plain_models() -> None:
    sure = [logits + 30 for logits in LOGITS]
    found, plain = dirichlet_mixture_uncertainty(sure, 1.0), ensemble_statistics(list(LOGITS))
    torch.testing.assert_close(found.mutual_information, plain.mutual_information, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(found.mkl, plain.mkl, rtol=1e-8, atol=1e-8)


def test_unequal_vocabularies_are_refused() -> None:
    with pytest.raises(UserError, match="share one vocabulary"):
        dirichlet_mixture_uncertainty([torch.zeros(2, 5), torch.zeros(2, 6)])


def test_scores_of_a_translation_agree_with_draws() -> None:
    """The rows are a translation's tokens: one student per translation, its distributions independent between them."""
    torch.manual_seed(2)
    tokens = torch.tensor([1, 0, 7, 3])
    columns = DirichletMixturePredictive(list(LOGITS), 1.0).columns(torch.arange(ROWS), tokens)
    found = hypothesis_measures({name: column.double().numpy() for name, column in columns.items()})
    pi = Dirichlet(LOGITS.exp() + 1).sample((DRAWS,))  # [draws, M, rows, K]
    log_p = pi[..., torch.arange(ROWS), tokens].log().sum(-1).numpy()  # ln P(y) [draws, M]
    student_probability = np.exp(log_p).mean(axis=0)
    assert found["sDU"] == pytest.approx(-log_p.mean() / ROWS, rel=5e-3)
    assert found["logvar"] == pytest.approx(log_p.var() / ROWS**2, rel=2e-2)
    assert found["EP-sTU"] == pytest.approx(-np.log(student_probability.mean()) / ROWS, rel=1e-2)
    assert found["EP-sMKL"] == pytest.approx(found["sDU"] - found["EP-sTU"], rel=1e-5)
    assert found["PE-sTU"] == pytest.approx(found["sTU"], rel=1e-5)
    assert found["PE-sMKL"] == pytest.approx(found["sMKL"], rel=1e-5)
    assert found["sMKL"] == pytest.approx(found["sDU"] - found["sTU"], rel=1e-5)


@pytest.mark.parametrize("prefix", [None, PREFIX], ids=["pe", "ep"])
def test_search_distributions(prefix: Tensor | None) -> None:
    """The mixture of modes, or of means; the latter is what the measures are about."""
    weights = torch.zeros(ROWS, MEMBERS).softmax(-1) if prefix is None else prefix.softmax(-1).float()
    mode, mean = (
        DirichletMixturePredictive(list(LOGITS), 1.0, decoding, prefix) for decoding in ("mode", "mean")
    )
    modes = torch.einsum("rm,mrk->rk", weights, LOGITS.float().softmax(-1))
    torch.testing.assert_close(mode.search_log_probabilities().exp(), modes)
    tempered = torch.einsum("rm,mrk->rk", weights, (LOGITS.float() / 2).softmax(-1))
    torch.testing.assert_close(mode.search_log_probabilities(temperature=2.0).exp(), tempered)
    rows, tokens = torch.tensor([2, 0, 2]), torch.tensor([1, 4, 0])
    torch.testing.assert_close(
        mean.search_log_probabilities()[rows, tokens], mode.columns(rows, tokens)["log_probability"]
    )


def test_one_student_has_its_own_columns() -> None:
    rows, tokens = torch.tensor([3, 1, 1]), torch.tensor([0, 5, 2])
    student = DirichletPredictive(LOGITS[0], 1.0)
    one = student.completed(student.columns(rows, tokens))
    many = DirichletMixturePredictive([LOGITS[0], LOGITS[0]], 1.0).columns(rows, tokens)
    for name in one.keys() - {"precision"}:
        torch.testing.assert_close(many[name], one[name], rtol=1e-5, atol=1e-6)
    assert "precision" not in many
