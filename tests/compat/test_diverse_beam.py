"""Diverse beam search gives a sentence the same candidates whatever its number and its neighbours, and ends what ends."""

from typing import Any

import pytest
import torch
from fairseq.data import Dictionary
from fairseq.search import DiverseBeamSearch
from torch import Tensor

BEAM, GROUPS, STEPS = 4, 2, 4


def dictionary() -> Dictionary:
    words = Dictionary()
    for letter in "abcdefgh":
        words.add_symbol(letter)
    return words


def candidates(log_probabilities: Tensor, ids: list[int], leaves_after: int | None = None) -> list[Any]:
    """Scores and tokens of every step for log-probabilities [steps, sentences, beam, K]; the first sentence may leave."""
    search = DiverseBeamSearch(dictionary(), GROUPS, diversity_strength=0.7)
    numbers, found = torch.tensor(ids), []
    for step in range(STEPS):
        if leaves_after is not None and step == leaves_after:
            numbers, log_probabilities = numbers[1:], log_probabilities[:, 1:]
        step_log_probabilities = log_probabilities[step].clone()
        scores, tokens, _ = search.step(
            step, step_log_probabilities, torch.zeros(len(numbers), BEAM, step), None, numbers
        )
        found.append((scores, tokens))
    return found


def test_neither_number_nor_neighbours_matter() -> None:
    torch.manual_seed(0)
    # few good tokens, so that the groups meet and their common past counts
    log_probabilities = (3 * torch.randn(STEPS, 3, BEAM, len(dictionary()))).log_softmax(-1)
    alone = [candidates(log_probabilities[:, row : row + 1], [0]) for row in range(3)]
    for ids in ([0, 1, 2], [2, 0, 1], [90, 7, 41]):
        for leaves_after in (None, 2):
            together = candidates(log_probabilities, ids, leaves_after)
            for step, (scores, tokens) in enumerate(together):
                for place in range(len(scores)):
                    row = place + 3 - len(scores)
                    assert torch.equal(tokens[place], alone[row][step][1][0])
                    torch.testing.assert_close(scores[place], alone[row][step][0][0])


@pytest.mark.parametrize("ended", [1, 2, 3])
def test_what_has_ended_is_not_gone_on_with(ended: int) -> None:
    """fairseq keeps ended beams in the last rows, and expects what goes on in the first places of the candidates."""
    words = dictionary()
    torch.manual_seed(ended)
    search, live = DiverseBeamSearch(words, GROUPS, diversity_strength=0.7), BEAM - ended
    log_probabilities = torch.randn(1, BEAM, len(words)).log_softmax(-1)
    search.step(0, log_probabilities.clone(), torch.zeros(1, BEAM, 0), None, torch.tensor([0]))
    tokens = torch.full((BEAM, 2), words.unk())
    tokens[live:, 1] = words.eos()
    scores = torch.full((1, BEAM, 1), -20.0)
    scores[0, live:] = -1.0  # a hypothesis that has ended has often the best score so far
    found, _, beams = search.step(1, log_probabilities, scores, tokens, torch.tensor([0]))
    assert found[0, :live].isfinite().all()
    assert (beams[0, :live] < live).all()
