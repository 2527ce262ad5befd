"""The three kinds of predictive distribution: what is searched with, and that measures fit it."""

import pytest
import torch
from torch import Tensor

from ednd_nmt.predictive import CategoricalPredictive, DirichletPredictive, EnsemblePredictive, Predictive

LOGITS = torch.randn(3, 4, 30, generator=torch.Generator().manual_seed(0)) * 3
ROWS = torch.tensor([2, 0, 0])
TOKENS = torch.tensor([5, 29, 0])


def columns(predictive: Predictive) -> dict[str, Tensor]:
    """Of one-token hypotheses that choose TOKENS after ROWS, [3] each."""
    recorded = predictive.columns(ROWS, TOKENS)
    return {
        name: column[:, 0]
        for name, column in predictive.completed({k: v[:, None] for k, v in recorded.items()}).items()
    }


def test_ensemble_searches_with_the_mean_of_its_members() -> None:
    log_p = EnsemblePredictive(list(LOGITS)).search_log_probabilities()
    torch.testing.assert_close(log_p.exp(), LOGITS.softmax(-1).mean(0))
    warm = EnsemblePredictive(list(LOGITS)).search_log_probabilities(temperature=2.0)
    torch.testing.assert_close(warm.exp(), (LOGITS / 2).softmax(-1).mean(0))


@pytest.mark.parametrize("offset", [0.0, 1.0, 2.5])
def test_student_searches_with_mode_or_mean(offset: float) -> None:
    logits = LOGITS[0]
    mode = DirichletPredictive(logits, offset).search_log_probabilities()
    torch.testing.assert_close(mode, logits.log_softmax(-1))
    mean = DirichletPredictive(logits, offset, "mean").search_log_probabilities()
    alpha = logits.double().exp() + offset
    torch.testing.assert_close(mean.double().exp(), alpha / alpha.sum(-1, keepdim=True), rtol=1e-5, atol=1e-7)


def test_mode_of_the_dirichlet_is_softmax_at_offset_one() -> None:
    alpha = LOGITS[0].double().exp() + 1
    mode = (alpha - 1) / (alpha.sum(-1, keepdim=True) - alpha.shape[-1])
    found = DirichletPredictive(LOGITS[0], 1.0).search_log_probabilities().double().exp()
    torch.testing.assert_close(found, mode, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "predictive",
    [
        CategoricalPredictive(LOGITS[0]),
        EnsemblePredictive(list(LOGITS)),
        DirichletPredictive(LOGITS[0], 1.0, "mean"),
    ],
    ids=["single", "ensemble", "student"],
)
def test_total_uncertainty_is_the_entropy_of_the_chosen_tokens_distribution(predictive: Predictive) -> None:
    """TU and log_probability are about one and the same p."""
    p = predictive.search_log_probabilities().double().exp()
    torch.testing.assert_close(
        predictive.token_measures()["TU"].double(), torch.special.entr(p).sum(-1), rtol=1e-5, atol=1e-6
    )
    chosen = columns(predictive)["log_probability"]
    torch.testing.assert_close(chosen.double(), p[ROWS, TOKENS].log(), rtol=1e-5, atol=1e-6)


def test_members_that_agree_disagree_nowhere() -> None:
    predictive = EnsemblePredictive([LOGITS[0], LOGITS[0].clone()])
    for name in ("MI", "EPKL", "MKL"):
        values = predictive.token_measures()[name]
        assert (values >= 0).all()
        assert values.max() < 1e-5
    assert columns(predictive)["sMKL"].abs().max() < 1e-5


def test_the_search_may_write_into_what_it_gets() -> None:
    predictive = CategoricalPredictive(LOGITS[0])
    before = predictive.token_measures()["TU"].clone()
    predictive.search_log_probabilities().fill_(-float("inf"))
    torch.testing.assert_close(predictive.token_measures()["TU"], before)
    assert torch.isfinite(columns(predictive)["log_probability"]).all()


def test_rows_are_measured_alike_whether_before_or_after_the_choice() -> None:
    """A penalty asks for the measures of all rows; otherwise only those are measured that go on."""
    for kind in (lambda: DirichletPredictive(LOGITS[0], 1.0), lambda: CategoricalPredictive(LOGITS[0])):
        before, after = kind(), kind()
        measures = before.token_measures()
        for name, column in columns(after).items():
            torch.testing.assert_close(column, columns(before)[name])
            if name in measures:
                torch.testing.assert_close(column, measures[name][ROWS])
