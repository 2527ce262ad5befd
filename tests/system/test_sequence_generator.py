"""What the search records on the fly equals what a teacher-forced pass over its hypotheses gives, in float64."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from compiled_bodies import needs_compiler
from random_models import RandomModels
from search_definitions import (
    IDS,
    SYSTEMS,
    check,
    dirichlet_columns,
    search,
    system_of,
    teacher_forced_logits,
)
from torch import Tensor
from torch.distributions import Dirichlet
from toy_reversal import ToyReversal

from ednd_nmt.compiled import bodies_are_compiled, use_compiled_bodies
from ednd_nmt.errors import UserError

SEARCHES: list[dict[str, Any]] = [
    {"beam": 1},
    {"beam": 5},
    {"beam": 5, "max_len_b": 3},
    {"beam": 5, "min_len": 4},
    {"beam": 4, "diverse_beam_groups": 2},
    {"beam": 3, "sampling": True},
    {"beam": 3, "temperature": 1.7},
    {"beam": 3, "no_repeat_ngram_size": 2},
]


@pytest.mark.parametrize("kind", SYSTEMS)
def test_the_best_hypotheses_alone_have_the_columns_that_they_have_among_all(
    random_models: RandomModels, kind: str
) -> None:
    systems = system_of(random_models, kind)
    _, every = search(random_models, systems, IDS, max_len_b=12)
    _, found = search(random_models, systems, IDS, max_len_b=12, nbest=2)
    for hypotheses, expected in zip(found, every, strict=True):
        for hypothesis, among_all in zip(hypotheses[:2], expected[:2], strict=True):
            assert torch.equal(hypothesis["tokens"], among_all["tokens"])
            torch.testing.assert_close(
                hypothesis["uncertainty"], among_all["uncertainty"], rtol=1e-6, atol=1e-6
            )
        assert not any("uncertainty" in hypothesis for hypothesis in hypotheses[2:])


@pytest.mark.parametrize("options", SEARCHES, ids=str)
@pytest.mark.parametrize("kind", ["single", "ensemble", "student"])
def test_recorded_equals_teacher_forced(
    random_models: RandomModels, kind: str, options: dict[str, Any]
) -> None:
    systems = {
        "single": lambda: [random_models.model(1)],
        "ensemble": lambda: [random_models.model(seed) for seed in (1, 2, 3)],
        "student": lambda: [random_models.model(1, "dirichlet_transformer")],
    }[kind]()
    sample, found = search(random_models, systems, IDS, **{"max_len_b": 20, **options})
    check(systems, sample, found)


@pytest.mark.parametrize(
    "options",
    [
        {"beam": 6},
        {"beam": 6, "diverse_beam_groups": 2},
        {"beam": 6, "diverse_beam_groups": 6},
        {"beam": 6, "sampling": True},
        {"beam": 6, "sampling": True, "sampling_topp": 0.9},
    ],
    ids=str,
)
def test_beams_that_end_are_not_gone_on_with(random_models: RandomModels, options: dict[str, Any]) -> None:
    """Models without opinions: at every step some of the beams end, and the others take their places."""
    systems = [random_models.model(2, "dirichlet_transformer", scale=1.0)]
    sample, found = search(random_models, systems, IDS, max_len_b=12, **{"nbest": 6, **options})
    lengths = {len(hypothesis["tokens"]) for hypotheses in found for hypothesis in hypotheses}
    assert len(lengths) > 1
    assert min(lengths) < 13
    check(systems, sample, found)


@needs_compiler
@pytest.mark.slow  # compiles
@pytest.mark.parametrize("kind", ["ensemble", "student"])
def test_compiled_measures_are_the_same(toy: ToyReversal, tmp_path: Path, kind: str) -> None:
    models = RandomModels(toy.data, tmp_path / "uncertainty.jsonl", flags=["--compile-measures"])
    systems = {
        "ensemble": lambda: [models.model(seed) for seed in (1, 2)],
        "student": lambda: [models.model(1, "dirichlet_transformer")],
    }[kind]()
    try:
        sample, found = search(models, systems, IDS, max_len_b=20)
        assert bodies_are_compiled()  # it was switched on, and did not fall back
    finally:
        use_compiled_bodies(False)
    check(systems, sample, found)


@pytest.mark.parametrize("options", [{"beam": 1}, {"beam": 5, "max_len_b": 6}, {"sampling": True}], ids=str)
def test_expectation_of_products(random_models: RandomModels, options: dict[str, Any]) -> None:
    """The prefix weights follow the beams; what is searched with is what is measured."""
    random_models.task.cfg.ensemble_combination = "ep"
    systems = [random_models.model(seed) for seed in (1, 2, 3)]
    sample, found = search(random_models, systems, IDS, **{"max_len_b": 12, **options})
    check(systems, sample, found, "ep")
    for hypotheses in found:
        for hypothesis in hypotheses:
            member = hypothesis["uncertainty"]["member_log_probability"].double().sum(0)
            posterior = torch.logsumexp(member, 0).item() - torch.tensor(3.0).log().item()
            total = hypothesis["score"].item() * len(hypothesis["tokens"])
            assert total == pytest.approx(posterior, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("combination", ["pe", "ep"])
@pytest.mark.parametrize("options", [{"beam": 5, "max_len_b": 6}, {"sampling": True}], ids=str)
def test_ensembles_of_students(
    random_models: RandomModels, combination: str, options: dict[str, Any]
) -> None:
    """Searching with the means, EP scores are what the students give to the whole translation on average."""
    random_models.task.cfg.ensemble_combination = combination
    random_models.task.cfg.dirichlet_decoding = "mean"
    systems = [random_models.model(seed, "dirichlet_transformer") for seed in (1, 2)]
    sample, found = search(random_models, systems, IDS, **{"max_len_b": 12, **options})
    check(systems, sample, found, combination)
    for hypotheses in found:
        for hypothesis in hypotheses:
            columns = hypothesis["uncertainty"]
            total = hypothesis["score"].item() * len(hypothesis["tokens"])
            assert total == pytest.approx(
                columns["log_probability"].double().sum().item(), rel=1e-5, abs=1e-5
            )
            if combination == "ep":
                member = columns["member_log_probability"].double().sum(0)
                assert total == pytest.approx(member.exp().mean().log().item(), rel=1e-5, abs=1e-5)


def test_uncertainty_penalty(random_models: RandomModels) -> None:
    """Scores fall by lambda times the measure; the measures stay those of the model; no weight, no change."""
    systems = [random_models.model(1, "dirichlet_transformer")]
    random_models.task.cfg.uncertainty_penalty = 2.0
    random_models.task.cfg.penalty_measure = "EPKL"
    sample, found = search(random_models, systems, IDS, max_len_b=8)
    check(systems, sample, found)
    for row, hypotheses in enumerate(found):
        for hypothesis in hypotheses[:2]:
            tokens = hypothesis["tokens"]
            logits = teacher_forced_logits(systems[0], sample, row, tokens)
            mode = torch.log_softmax(logits, -1).gather(-1, tokens[:, None])[:, 0]
            expected = mode - 2.0 * dirichlet_columns(logits, tokens, 1.0)["EPKL"]
            torch.testing.assert_close(
                hypothesis["positional_scores"].double(), expected, rtol=1e-4, atol=1e-4
            )


@pytest.mark.parametrize(
    ("weight", "measure", "options", "message"),
    [
        (-1.0, "TU", {}, "at least 0"),
        (1.0, "MI", {}, "it has TU"),
        (1.0, "TU", {"sampling": True}, "leave out --sampling"),
        (1.0, "TU", {"score_reference": True}, "leave out --score-reference"),
    ],
)
def test_penalties_that_cannot_be(
    random_models: RandomModels, weight: float, measure: str, options: dict[str, Any], message: str
) -> None:
    random_models.task.cfg.uncertainty_penalty = weight
    random_models.task.cfg.penalty_measure = measure
    with pytest.raises(UserError, match=message):
        random_models.task.build_recording_generator(
            [random_models.model(1)], Namespace(beam=2, nbest=1, **options)
        )


def test_identities_hold_in_the_search(random_models: RandomModels) -> None:
    for systems in (
        [random_models.model(1, "dirichlet_transformer")],
        [random_models.model(seed) for seed in (1, 2)],
    ):
        for hypotheses in search(random_models, systems, IDS)[1]:
            for hypothesis in hypotheses:
                u = hypothesis["uncertainty"]
                torch.testing.assert_close(u["MI"], u["TU"] - u["DU"], rtol=1e-5, atol=1e-5)
                torch.testing.assert_close(u["EPKL"], u["MI"] + u["MKL"], rtol=1e-5, atol=1e-5)
                assert all((u[name] >= 0).all() for name in ("TU", "DU", "MI", "EPKL", "MKL", "sMKL"))


def test_student_measures_agree_with_draws(random_models: RandomModels) -> None:
    """Every measure of a real hypothesis, the sequence variance included, by Monte Carlo over the student's Dirichlets.

    Each is its definition with means over draws in place of expectations; the variance among ten parts of the draws tells
    how far off that may be.
    """
    from ednd_nmt.measures import hypothesis_measures

    model, parts, size = random_models.model(1, "dirichlet_transformer"), 10, 4000
    sample, found = search(random_models, [model], IDS[:1], max_len_b=8)
    hypothesis = found[0][0]
    tokens = hypothesis["tokens"]
    torch.manual_seed(0)
    alpha = teacher_forced_logits(model, sample, 0, tokens).exp() + model.dirichlet.offset
    draws = Dirichlet(alpha).sample((parts, size))  # [parts, draws, tokens, K]
    log_draws = draws.log()

    def chosen(values: Tensor) -> Tensor:
        return values.gather(-1, tokens.expand(*values.shape[:-2], -1)[..., None])[..., 0]

    mean = draws.mean(1)
    total, data = torch.special.entr(mean).sum(-1), torch.special.entr(draws).sum(-1).mean(1)
    mkl = (mean[:, None] * (mean.log()[:, None] - log_draws)).sum(-1).mean(1)
    pairs = (draws[:, ::2] * (log_draws[:, ::2] - log_draws[:, 1::2])).sum(-1).mean(1)
    log_mean, log_p = chosen(mean.log()), chosen(log_draws)  # [parts, tokens], [parts, draws, tokens]
    drawn = {
        "TU": total.mean(-1),
        "DU": data.mean(-1),
        "MI": (total - data).mean(-1),
        "MKL": mkl.mean(-1),
        "EPKL": pairs.mean(-1),
        "sTU": -log_mean.mean(-1),
        "sDU": -log_p.mean((1, 2)),
        "sMKL": (log_mean - log_p.mean(1)).mean(-1),
        "logvar": log_p.mean(-1).var(1),
    }
    columns = {name: values.double().numpy() for name, values in hypothesis["uncertainty"].items()}
    measures = hypothesis_measures(columns)
    assert measures.keys() == drawn.keys()
    for name, values in drawn.items():
        error = 5 * values.std().item() / parts**0.5
        assert 0 < error < 0.1 * measures[name], name
        assert measures[name] == pytest.approx(values.mean().item(), abs=error), name
    # Var pi_k = p_k (1 - p_k) / (alpha0 + 1)
    precision = (mean * (1 - mean)).sum(-1) / draws.var(1).sum(-1) - 1
    error = 5 * precision.std(0) / parts**0.5
    assert ((precision.mean(0) - torch.from_numpy(columns["precision"])).abs() < error).all()


def test_temperature_changes_the_search_but_not_the_measures(random_models: RandomModels) -> None:
    systems = [random_models.model(seed) for seed in (1, 2)]
    target = random_models.batch(IDS)["target"]  # the same forced texts at both temperatures
    cold, hot = (search(random_models, systems, IDS, target, temperature=t)[1] for t in (1.0, 3.0))
    for mine, theirs in zip(cold, hot, strict=True):
        assert mine[0]["score"] != theirs[0]["score"]
        torch.testing.assert_close(mine[0]["uncertainty"]["TU"], theirs[0]["uncertainty"]["TU"])
