"""Diverse beam search looks a sentence's past up under its number in the data set, and goes on with what has ended."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ednd_nmt.compat.repair import wrapping


def _search_class() -> Any:
    from fairseq.search import DiverseBeamSearch

    return DiverseBeamSearch


def _takes_ids_for_places() -> bool:
    from fairseq.data import Dictionary

    dictionary = Dictionary()
    search = _search_class()(dictionary, num_groups=2, diversity_strength=0.5)
    log_probabilities = torch.zeros(1, 2, len(dictionary))
    try:
        for step in range(2):
            search.step(step, log_probabilities, torch.zeros(1, 2, step), None, torch.tensor([7]))
    except IndexError:
        return True
    return False


def _give_places(
    original: Callable[..., Any],
    search: Any,
    step: int,
    lprobs: Tensor,
    scores: Tensor | None,
    prev_output_tokens: Tensor | None = None,
    original_batch_idxs: Tensor | None = None,
) -> Any:
    if original_batch_idxs is not None:
        if step == 0:
            search.batch_ids = original_batch_idxs
        # Sentences leave the batch as they finish; the overlaps keep the places of the whole batch.
        original_batch_idxs = original_batch_idxs.unsqueeze(1).eq(search.batch_ids).long().argmax(dim=1)
    return original(search, step, lprobs, scores, prev_output_tokens, original_batch_idxs)


def _continues_what_has_ended() -> bool:
    from fairseq.data import Dictionary

    dictionary = Dictionary()
    search = _search_class()(dictionary, num_groups=1, diversity_strength=0.5)
    log_probabilities, numbers = torch.zeros(1, 2, len(dictionary)), torch.tensor([0])
    search.step(0, log_probabilities, torch.zeros(1, 2, 0), None, numbers)
    tokens = torch.tensor([[dictionary.eos(), dictionary.unk()], [dictionary.eos(), dictionary.eos()]])
    beams = search.step(1, log_probabilities, torch.tensor([[[-9.0], [0.0]]]), tokens, numbers)[2]
    return bool(beams.eq(1).any())


def _let_ended_beams_be(
    original: Callable[..., Any],
    search: Any,
    step: int,
    lprobs: Tensor,
    scores: Tensor | None,
    prev_output_tokens: Tensor | None = None,
    original_batch_idxs: Tensor | None = None,
) -> Any:
    if step > 0 and prev_output_tokens is not None:
        ended = prev_output_tokens[:, -1].eq(search.eos)
        if ended.any():
            lprobs = lprobs.masked_fill(ended.view(len(lprobs), -1, 1), -math.inf)
    return original(search, step, lprobs, scores, prev_output_tokens, original_batch_idxs)


REPAIRS = (
    wrapping(
        _search_class,
        "step",
        _give_places,
        name="diverse beam search",
        why="fairseq counts the groups' common tokens by place in the batch but looks them up by the sentence's number in "
        "the data set: --diverse-beam-groups fails with an index error, or, where the numbers of a batch are its places "
        "in another order, compares a sentence with another one's past, in silence.",
        needed=_takes_ids_for_places,
    ),
    wrapping(
        _search_class,
        "step",
        _let_ended_beams_be,
        name="ended beams of a diverse search",
        why="fairseq keeps the places of hypotheses that have ended out of the next step's candidates, but in a group of "
        "several beams the candidates of those places are of any beam: with --diverse-beam-groups below --beam, "
        "translations go on after their end, with EOS in their middle, in silence.",
        needed=_continues_what_has_ended,
    ),
)
