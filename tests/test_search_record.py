"""What a search records along its beams, against a walk that remembers the whole history of every row."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from ednd_nmt.predictive import DirichletPredictive, EnsemblePredictive, Predictive
from ednd_nmt.search_record import SearchRecord

EOS, CLASSES, STEPS = 2, 11, 9

Way = tuple[tuple[int, int, int], ...]  # (step, row, token) of every token of a hypothesis


@dataclass
class Search:
    """A search with made-up logits, beams and endings."""

    record: SearchRecord
    logits: list[Tensor]  # [rows, K] of every step
    ways: list[Way]  # of what has ended


class Watched(DirichletPredictive):
    """Remembers which rows are measured."""

    def __init__(self, logits: Tensor, measured: set[int]) -> None:
        super().__init__(logits, 1.0)
        self._watched = measured

    def columns(self, rows: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        self._watched.update(rows.tolist())
        return super().columns(rows, tokens)


def walk(seed: int, pending_bytes: int, measured: list[set[int]] | None = None) -> Search:
    choice = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    found = Search(SearchRecord(pending_bytes), [], [])
    prefixes: list[Way] = [()] * 6
    last = [EOS] * 6
    for step in range(STEPS):
        found.record.extend(torch.tensor(last))
        logits = 3 * torch.randn(len(prefixes), CLASSES, generator=generator)
        found.logits.append(logits)
        if measured is None:
            found.record.follow(DirichletPredictive(logits, 1.0))
        else:
            measured.append(set())
            found.record.follow(Watched(logits, measured[-1]))
        heads = list(enumerate(prefixes))  # row of the logits, and prefix
        if step == 4:
            source = [choice.randrange(len(heads)) for _ in heads]
            found.record.copy_rows(torch.tensor(source))
            heads = [heads[row] for row in source]
        ends = [] if step in (0, 3) else [choice.randrange(len(heads)) for _ in range(choice.randrange(4))]
        found.record.end(torch.tensor(ends, dtype=torch.long), EOS)
        found.ways += [(*heads[row][1], (step, heads[row][0], EOS)) for row in ends]
        parents = [choice.randrange(len(heads)) for _ in range(choice.randrange(3, 7))]
        last = [choice.randrange(3, CLASSES) for _ in parents]
        found.record.reorder(torch.tensor(parents))
        prefixes = [
            (*heads[row][1], (step, heads[row][0], token)) for row, token in zip(parents, last, strict=True)
        ]
    return found


@pytest.mark.parametrize("pending_bytes", [0, 1000, 10**9], ids=["at once", "some steps late", "at the end"])
@pytest.mark.parametrize("seed", range(5))
def test_columns_follow_the_beams(seed: int, pending_bytes: int) -> None:
    search = walk(seed, pending_bytes)
    hypotheses = search.record.hypotheses()
    assert search.ways
    for columns, way in zip(hypotheses, search.ways, strict=True):
        alpha = torch.stack([search.logits[step][row] for step, row, _ in way]).double().exp() + 1
        p = alpha / alpha.sum(-1, keepdim=True)
        tokens = torch.tensor([token for *_, token in way])
        expected = {
            "precision": alpha.sum(-1),
            "TU": torch.special.entr(p).sum(-1),
            "log_probability": p.log().gather(-1, tokens[:, None])[:, 0],
        }
        for name, values in expected.items():
            torch.testing.assert_close(columns[name].double(), values, rtol=1e-5, atol=1e-6)


def test_only_what_hypotheses_came_through_is_measured() -> None:
    measured: list[set[int]] = []
    search = walk(0, 10**9, measured)
    search.record.hypotheses()
    for step, rows in enumerate(measured):
        assert rows == {row for way in search.ways for at, row, _ in way if at == step}
    assert sum(map(len, measured)) < sum(map(len, search.logits))


@pytest.mark.parametrize("pending_bytes", [0, 1000, 10**9], ids=["at once", "some steps late", "at the end"])
@pytest.mark.parametrize("seed", range(5))
def test_some_hypotheses_have_the_columns_that_they_have_among_all(seed: int, pending_bytes: int) -> None:
    every = walk(seed, pending_bytes).record.hypotheses()
    measured: list[set[int]] = []
    search = walk(seed, pending_bytes, measured)
    wanted = [number % 3 == seed % 2 for number in range(len(every))]
    found = search.record.hypotheses(wanted)
    for columns, expected in zip(found, itertools.compress(every, wanted), strict=True):
        assert columns.keys() == expected.keys()
        assert all(torch.equal(column, expected[name]) for name, column in columns.items())
    if pending_bytes == 10**9:
        ways = list(itertools.compress(search.ways, wanted))
        for step, rows in enumerate(measured):
            assert rows == {row for way in ways for at, row, _ in way if at == step}


@pytest.mark.parametrize("steps", [1, 3])
def test_no_more_distributions_wait_than_memory_allows(steps: int) -> None:
    measured: list[set[int]] = []
    rows = torch.arange(6)
    logits = torch.randn(6, CLASSES, generator=torch.Generator().manual_seed(0))
    record = SearchRecord(steps * logits.nbytes)
    for step in range(STEPS):
        record.extend(torch.full_like(rows, 5))
        assert [bool(seen) for seen in measured] == [at < step - steps for at in range(step)]
        measured.append(set())
        record.follow(Watched(logits, measured[-1]))
        record.reorder(rows)


def test_what_a_distribution_holds() -> None:
    logits = [torch.zeros(6, CLASSES) for _ in range(3)]
    assert DirichletPredictive(logits[0], 1.0).held_bytes() == logits[0].nbytes
    ensemble: Predictive = EnsemblePredictive(logits)
    assert ensemble.held_bytes() >= 5 * logits[0].nbytes  # the members, the mean and the mean logarithm


@pytest.mark.parametrize("pending_bytes", [0, 10**9])
def test_likelihood_of_the_prefixes(pending_bytes: int) -> None:
    """Of every member, as the sum of the logarithms of what the prefix consists of."""
    choice, generator = random.Random(0), torch.Generator().manual_seed(0)
    record = SearchRecord(pending_bytes)
    likelihood = [torch.zeros(2, dtype=torch.float64)] * 4
    last = torch.full((4,), EOS)
    for step in range(5):
        record.extend(last)
        found = record.prefix_log_likelihood()
        if step == 0:
            assert found is None
        else:
            assert found is not None
            torch.testing.assert_close(found, torch.stack(likelihood), rtol=1e-6, atol=1e-6)
        logits = list(2 * torch.randn(2, 4, CLASSES, generator=generator))
        record.follow(EnsemblePredictive(logits, found))
        record.end(torch.tensor([step % 4]), EOS)
        parents = [choice.randrange(4) for _ in range(4)]
        last = torch.tensor([choice.randrange(3, CLASSES) for _ in parents])
        record.reorder(torch.tensor(parents))
        log_p = torch.stack(logits, dim=-1).double().log_softmax(dim=1)  # [rows, K, M]
        likelihood = [
            likelihood[row] + log_p[row, token] for row, token in zip(parents, last.tolist(), strict=True)
        ]
