"""What the search records on the fly equals what a teacher-forced pass over its hypotheses gives, in float64."""

from __future__ import annotations

import itertools
import random
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


SYSTEMS = {
    "ensemble-pe": ("transformer", "pe"),
    "ensemble-ep": ("transformer", "ep"),
    "student": ("dirichlet_transformer", "pe"),
    "students-ep": ("dirichlet_transformer", "ep"),
}


def system_of(models: RandomModels, kind: str) -> list[Any]:
    arch, models.task.cfg.ensemble_combination = SYSTEMS[kind]
    return [models.model(seed, arch) for seed in ((1,) if kind == "student" else (1, 2))]


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
            ends = (tokens == systems[0].decoder.dictionary.eos()).nonzero()[:, 0]
            assert ends.tolist() == [len(tokens) - 1]  # once, and last
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
@pytest.mark.parametrize("beam", [1, 5])
@pytest.mark.parametrize("kind", ["ensemble-pe", "ensemble-ep", "student"])
def test_prefix_tokens(random_models: RandomModels, kind: str, beam: int, prefix_length: int) -> None:
    systems = system_of(random_models, kind)
    prefix = random_models.batch(IDS)["target"][:, :prefix_length]
    sample, found = search(
        random_models, systems, IDS, prefix, beam=beam, nbest=beam, max_len_a=1, max_len_b=3
    )
    assert all(
        torch.equal(hypothesis["tokens"][:prefix_length], prefix[row])
        for row, hypotheses in enumerate(found)
        for hypothesis in hypotheses
    )
    check(systems, sample, found, SYSTEMS[kind][1])


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


@pytest.mark.parametrize("beam", [1, 5])
@pytest.mark.parametrize("kind", SYSTEMS)
def test_batches_and_order_change_nothing(random_models: RandomModels, kind: str, beam: int) -> None:
    """Nor does whether a sentence's length limit is shorter than another's: these models end few sentences themselves."""
    systems, ids = system_of(random_models, kind), list(range(0, 200, 8))
    data = random_models.task.dataset("test")
    lengths = {index: len(data[index]["source"]) for index in ids}
    orders = {
        "given": ids,
        "sorted": sorted(ids, key=lambda index: lengths[index]),
        "shuffled": random.Random(0).sample(ids, len(ids)),
    }

    def by_id(order: str, size: int) -> dict[int, list[dict[str, Any]]]:
        found: dict[int, list[dict[str, Any]]] = {}
        for batch in batched(orders[order], size):
            sample, hypotheses = search(
                random_models, systems, batch, beam=beam, nbest=beam, max_len_a=1.5, max_len_b=1
            )
            found.update(zip(sample["id"].tolist(), hypotheses, strict=True))
        return found

    alone = by_id("given", 1)
    for others in (by_id("given", 16), by_id("sorted", 16), by_id("shuffled", 16)):
        assert others.keys() == alone.keys()
        for index in ids:
            for mine, theirs in zip(alone[index], others[index], strict=True):
                assert torch.equal(mine["tokens"], theirs["tokens"])
                for name, values in mine["uncertainty"].items():
                    torch.testing.assert_close(values, theirs["uncertainty"][name], rtol=1e-5, atol=1e-6)
    rooms = {
        int(1.5 * lengths[index] + 1) - (len(hypothesis["tokens"]) - 1)
        for index in ids
        for hypothesis in alone[index]
    }
    assert min(rooms) == 0  # the limits cut, and differently


def batched(ids: list[int], size: int) -> list[list[int]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]


@pytest.mark.parametrize("options", [{"beam": 4, "diverse_beam_groups": 2}, {"sampling": True}], ids=str)
def test_no_search_goes_beyond_the_limit_of_its_sentence(
    random_models: RandomModels, options: dict[str, Any]
) -> None:
    systems = system_of(random_models, "student")
    sample, found = search(random_models, systems, IDS, **{"max_len_a": 1, "max_len_b": 0, **options})
    lengths = sample["net_input"]["src_lengths"].tolist()
    assert len(set(lengths)) > 1
    for length, hypotheses in zip(lengths, found, strict=True):
        assert len(hypotheses) == options.get("beam", 5)
        assert max(len(hypothesis["tokens"]) - 1 for hypothesis in hypotheses) <= length
    check(systems, sample, found)


def test_a_prefix_beyond_the_limit_of_its_sentence_stands(random_models: RandomModels) -> None:
    """In company of a longer sentence, whose limit it is within; EOS follows at once."""
    systems, prefix = system_of(random_models, "student"), torch.full((len(IDS), 4), 7)
    sample, found = search(random_models, systems, IDS, prefix, max_len_a=0.7, max_len_b=0)
    lengths = sample["net_input"]["src_lengths"].tolist()
    assert min(lengths) <= 4 < 0.7 * max(lengths)
    for length, hypotheses in zip(lengths, found, strict=True):
        for hypothesis in hypotheses:
            assert torch.equal(hypothesis["tokens"][:4], prefix[0])
            assert len(hypothesis["tokens"]) - 1 <= max(4, int(0.7 * length))
    check(systems, sample, found)


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
