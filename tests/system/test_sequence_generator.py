"""What the search records on the fly equals what a teacher-forced pass over its hypotheses gives, in float64."""

from __future__ import annotations

import itertools
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from random_models import RandomModels
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
IDS = [0, 3, 7, 20, 50, 101]


def teacher_forced_logits(model: Any, sample: dict[str, Any], row: int, tokens: Tensor) -> Tensor:
    """Logits [tokens, K] of one hypothesis, decoded alone, without padding, beams or incremental state."""
    length = sample["net_input"]["src_lengths"][row]
    source = sample["net_input"]["src_tokens"][row : row + 1, -length:]  # sources are padded on the left
    previous = torch.cat([tokens[-1:], tokens[:-1]]).unsqueeze(0)
    return model(source, length.view(1), previous)[0][0].double()


def dirichlet_columns(logits: Tensor, tokens: Tensor, offset: float) -> dict[str, Tensor]:
    """The measures of a Dirichlet from their textbook definitions."""
    alpha = logits.exp() + offset
    alpha0 = alpha.sum(-1, keepdim=True)
    p = alpha / alpha0
    chosen, precision = alpha.gather(-1, tokens[:, None])[:, 0], alpha0[:, 0]
    total = -(p * p.log()).sum(-1)
    data = -(p * (torch.digamma(alpha + 1) - torch.digamma(alpha0 + 1))).sum(-1)
    epkl = (alpha.shape[-1] - 1) / precision
    log_probability = (chosen / precision).log()
    return {
        "TU": total,
        "DU": data,
        "MI": total - data,
        "EPKL": epkl,
        "MKL": epkl - (total - data),
        "precision": precision,
        "log_probability": log_probability,
        "sMKL": log_probability - torch.digamma(chosen) + torch.digamma(precision),
        "logvar": torch.polygamma(1, chosen) - torch.polygamma(1, precision),
    }


def ensemble_columns(members: list[Tensor], tokens: Tensor, combination: str) -> dict[str, Tensor]:
    """The measures of an ensemble from their definitions, all members stacked."""
    log_p = torch.stack([torch.log_softmax(logits, -1) for logits in members])  # [M, tokens, K]
    member = log_p.gather(-1, tokens.expand(len(log_p), -1)[..., None])[..., 0]  # [M, tokens]
    prefix = member.cumsum(-1) - member if combination == "ep" else torch.zeros_like(member)
    weights = prefix.softmax(0)[..., None]
    mean, log_mean = (weights * log_p.exp()).sum(0), (weights * log_p).sum(0)
    total = -(mean * mean.log()).sum(-1)
    data = -(weights * log_p.exp() * log_p).sum(-1).sum(0)
    mkl = (mean * (mean.log() - log_mean)).sum(-1)
    chosen = mean.gather(-1, tokens[:, None])[:, 0].log()
    return {
        "TU": total,
        "DU": data,
        "MI": total - data,
        "EPKL": total - data + mkl,
        "MKL": mkl,
        "log_probability": chosen,
        "sMKL": chosen - member.mean(0),
        "member_log_probability": member.T,
    }


def mixture_columns(
    members: list[Tensor], tokens: Tensor, offset: float, combination: str
) -> dict[str, Tensor]:
    """The measures of several students from the definitions of expectations over their mixture, all stacked."""
    alpha = torch.stack(members).exp() + offset  # [M, tokens, K]
    alpha0 = alpha.sum(-1, keepdim=True)
    p, expected_log = alpha / alpha0, torch.digamma(alpha) - torch.digamma(alpha0)

    def chosen(values: Tensor) -> Tensor:
        return values.gather(-1, tokens.expand(len(values), -1)[..., None])[..., 0]  # [M, tokens]

    member, expected = chosen(p).log(), chosen(expected_log)
    prefix = member.cumsum(-1) - member if combination == "ep" else torch.zeros_like(member)
    weights = prefix.softmax(0)[..., None]
    mean = (weights * p).sum(0)
    total = -(mean * mean.log()).sum(-1)
    entropies = -(p * (torch.digamma(alpha + 1) - torch.digamma(alpha0 + 1))).sum(-1)
    data = (weights[..., 0] * entropies).sum(0)
    mkl = (mean * (mean.log() - (weights * expected_log).sum(0))).sum(-1)
    log_probability = mean.gather(-1, tokens[:, None])[:, 0].log()
    return {
        "TU": total,
        "DU": data,
        "MI": total - data,
        "EPKL": total - data + mkl,
        "MKL": mkl,
        "log_probability": log_probability,
        "sMKL": log_probability - expected.mean(0),
        "logvar": chosen(torch.polygamma(1, alpha) - torch.polygamma(1, alpha0)).mean(0),
        "member_log_probability": member.T,
        "member_expected_log_probability": expected.T,
    }


def search(
    models: RandomModels,
    systems: list[Any],
    ids: list[int],
    prefix: Tensor | None = None,
    forced: Tensor | None = None,
    **options: Any,
) -> Any:
    options = {"beam": 5, "nbest": 5, **options}
    generator, _ = models.task.build_recording_generator(systems, Namespace(**options))
    sample = models.batch(ids)
    return sample, models.task.inference_step(
        generator, systems, sample, prefix_tokens=prefix, constraints=forced
    )


def check(
    systems: list[Any], sample: dict[str, Any], found: list[list[dict[str, Any]]], combination: str = "pe"
) -> None:
    seen = 0
    for row, hypotheses in enumerate(found):
        for hypothesis in hypotheses:
            tokens = hypothesis["tokens"]
            logits = [teacher_forced_logits(model, sample, row, tokens) for model in systems]
            settings = systems[0].dirichlet
            if settings is None:
                expected = ensemble_columns(logits, tokens, combination)
                if len(systems) == 1:
                    expected = {name: expected[name] for name in ("TU", "log_probability")}
            elif len(systems) == 1:
                expected = dirichlet_columns(logits[0], tokens, settings.offset)
            else:
                expected = mixture_columns(logits, tokens, settings.offset, combination)
            assert hypothesis["uncertainty"].keys() == expected.keys()
            for name, values in expected.items():
                recorded = hypothesis["uncertainty"][name].double()
                assert torch.allclose(recorded, values, rtol=1e-5, atol=1e-6), (name, recorded, values)
            seen += 1
    assert seen >= len(found)


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


@pytest.mark.parametrize("prefix_length", [1, 2])
def test_prefix_tokens(random_models: RandomModels, prefix_length: int) -> None:
    systems = [random_models.model(seed) for seed in (1, 2)]
    prefix = random_models.batch(IDS)["target"][:, :prefix_length]
    sample, found = search(random_models, systems, IDS, prefix)
    assert all(
        torch.equal(hypothesis["tokens"][:prefix_length], prefix[row])
        for row, hypotheses in enumerate(found)
        for hypothesis in hypotheses
    )
    check(systems, sample, found)


@pytest.mark.parametrize("order", ["ordered", "unordered"])
@pytest.mark.parametrize("kind", ["ensemble", "student"])
def test_lexical_constraints(random_models: RandomModels, kind: str, order: str) -> None:
    """Every hypothesis holds its constraints, and forced tokens are recorded like any others."""
    from fairseq.token_generation_constraints import pack_constraints

    if kind == "ensemble":
        random_models.task.cfg.ensemble_combination = (
            "ep"  # the members' likelihoods of forced prefixes count as well
        )
        systems = [random_models.model(seed) for seed in (1, 2)]
    else:
        systems = [random_models.model(1, "dirichlet_transformer")]
    wanted = [[[9], [7, 5]], [[6]], [], [[12, 12]], [[4], [5], [8]], [[10]]]
    packed = pack_constraints([[torch.tensor(words) for words in sentence] for sentence in wanted])
    sample, found = search(random_models, systems, IDS, forced=packed, constraints=order, max_len_b=16)
    for hypotheses, sentence in zip(found, wanted, strict=True):
        for hypothesis in hypotheses[:1]:
            text = hypothesis["tokens"].tolist()
            starts = [
                [place for place in range(len(text)) if text[place : place + len(words)] == words]
                for words in sentence
            ]
            assert all(starts)
            if order == "ordered":
                assert all(first[0] < second[-1] for first, second in itertools.pairwise(starts))
    check(systems, sample, found, "ep")


def test_prefix_that_ends_the_sentence(random_models: RandomModels) -> None:
    """fairseq copies the first beam over the others where a prefix holds EOS; the record must follow."""
    systems = [random_models.model(1, "dirichlet_transformer")]
    target = random_models.batch(IDS)["target"]
    sample, found = search(random_models, systems, IDS, target)
    eos, pad = random_models.task.target_dictionary.eos(), random_models.task.target_dictionary.pad()
    for row, hypotheses in enumerate(found):
        assert torch.equal(hypotheses[0]["tokens"], target[row][target[row] != pad])
        assert hypotheses[0]["tokens"][-1] == eos
    check(systems, sample, found)


def test_batches_and_order_change_nothing(random_models: RandomModels) -> None:
    systems = [random_models.model(1, "dirichlet_transformer")]

    def by_id(*batches: list[int]) -> dict[int, list[dict[str, Any]]]:
        found: dict[int, list[dict[str, Any]]] = {}
        for ids in batches:
            sample, hypotheses = search(random_models, systems, ids)
            found.update(zip(sample["id"].tolist(), hypotheses, strict=True))
        return found

    together = by_id(IDS)
    for others in (by_id(IDS[::-1]), by_id(*([index] for index in IDS)), by_id(IDS[:4], IDS[4:])):
        for index in IDS:
            for mine, theirs in zip(together[index], others[index], strict=True):
                assert torch.equal(mine["tokens"], theirs["tokens"])
                for name, values in mine["uncertainty"].items():
                    torch.testing.assert_close(values, theirs["uncertainty"][name], rtol=1e-5, atol=1e-6)


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
    """Monte Carlo over the Dirichlets of a real hypothesis, the sequence variance included."""
    from ednd_nmt.measures import hypothesis_measures

    model = random_models.model(1, "dirichlet_transformer")
    sample, found = search(random_models, [model], IDS[:1])
    hypothesis = found[0][0]
    tokens = hypothesis["tokens"]
    torch.manual_seed(0)
    alpha = teacher_forced_logits(model, sample, 0, tokens).exp() + model.dirichlet.offset
    draws = Dirichlet(alpha).sample((20000,))  # (draws, tokens, K)
    chosen = draws.gather(-1, tokens.expand(20000, -1)[..., None])[..., 0].log()
    measures = hypothesis_measures(
        {name: values.double().numpy() for name, values in hypothesis["uncertainty"].items()}
    )
    entropy = torch.special.entr(draws).sum(-1).mean(-1)
    p = alpha / alpha.sum(-1, keepdim=True)
    mkl = (p * (p.log() - draws.log())).sum(-1).mean(-1)
    assert measures["DU"] == pytest.approx(entropy.mean().item(), abs=4 * (entropy.std() / 20000**0.5).item())
    assert measures["MKL"] == pytest.approx(mkl.mean().item(), abs=4 * (mkl.std() / 20000**0.5).item())
    assert measures["sDU"] == pytest.approx(-chosen.mean().item(), rel=0.02)
    assert measures["logvar"] == pytest.approx(chosen.mean(-1).var().item(), rel=0.05)


def test_temperature_changes_the_search_but_not_the_measures(random_models: RandomModels) -> None:
    systems = [random_models.model(seed) for seed in (1, 2)]
    target = random_models.batch(IDS)["target"]  # the same forced texts at both temperatures
    cold, hot = (search(random_models, systems, IDS, target, temperature=t)[1] for t in (1.0, 3.0))
    for mine, theirs in zip(cold, hot, strict=True):
        assert mine[0]["score"] != theirs[0]["score"]
        torch.testing.assert_close(mine[0]["uncertainty"]["TU"], theirs[0]["uncertainty"]["TU"])
