"""Neither batches, prefixes, constraints nor limits of the length come between the search and what it records."""

from __future__ import annotations

import itertools
import random
from argparse import Namespace
from typing import Any

import pytest
import torch
from random_models import RandomModels
from search_definitions import IDS, SYSTEMS, check, search, system_of

from ednd_nmt.errors import UserError


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


@pytest.mark.parametrize("ids", [IDS[:1], IDS], ids=["alone", "in company"])
def test_a_translation_may_have_to_be_longer_than_its_limit(
    random_models: RandomModels, ids: list[int]
) -> None:
    """The shortest that was asked for is longer than most limits; it is the same alone, where it is longer than all."""
    systems = system_of(random_models, "student")
    sample, found = search(random_models, systems, ids, max_len_a=1, max_len_b=0, min_len=12)
    lengths = sample["net_input"]["src_lengths"].tolist()
    assert min(lengths) < 12
    for length, hypotheses in zip(lengths, found, strict=True):
        assert {len(hypothesis["tokens"]) - 1 for hypothesis in hypotheses} <= set(
            range(12, max(length, 12) + 1)
        )
    check(systems, sample, found)


def test_what_leaves_no_room_for_the_shortest_is_refused(random_models: RandomModels) -> None:
    systems = system_of(random_models, "student")
    with pytest.raises(UserError, match=r"at least 64 pieces .* room for 63"):
        search(random_models, systems, IDS, min_len=64)
    with pytest.raises(UserError, match="--match-source-len makes a translation as long as its source"):
        search(random_models, systems, IDS[:1], match_source_len=True, min_len=40)


def test_a_padded_batch_allows_no_more(random_models: RandomModels) -> None:
    """As --required-seq-len-multiple pads: fairseq takes the padded width for the length of the sources."""
    systems = system_of(random_models, "student")
    sample = random_models.batch(IDS[:1])
    net_input = sample["net_input"]
    length = net_input["src_tokens"].shape[1]
    padding = torch.full((1, 8), random_models.task.source_dictionary.pad())
    net_input["src_tokens"] = torch.cat([padding, net_input["src_tokens"]], dim=1)
    generator, _ = random_models.task.build_recording_generator(
        systems, Namespace(beam=5, nbest=5, max_len_a=1, max_len_b=0)
    )
    (hypotheses,) = generator.generate(systems, sample)
    assert max(len(hypothesis["tokens"]) - 1 for hypothesis in hypotheses) == length


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
