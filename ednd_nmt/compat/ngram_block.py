"""On a CPU, fairseq's ``--no-repeat-ngram-size`` forbids nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

from ednd_nmt.compat.repair import wrapping


def _block() -> Any:
    from fairseq.ngram_repeat_block import NGramRepeatBlock

    return NGramRepeatBlock


def _look_at_the_prefix(
    original: Callable[..., Any],
    block: Any,
    tokens: Tensor,
    lprobs: Tensor,
    bsz: int,
    beam_size: int,
    step: int,
) -> Any:
    """``NGramRepeatBlock._no_repeat_ngram``, given the tokens so far and not what will be written behind them."""
    if block.no_repeat_ngram_size > 1:
        return original(block, tokens[:, : step + 1], lprobs, bsz, beam_size, step)
    # All tokens of the translation; the first one, with which every prefix begins, is the symbol that ends it, too.
    return lprobs.scatter_(1, tokens[:, 1 : step + 1], -math.inf)


REPAIRS = (
    wrapping(
        _block,
        "_no_repeat_ngram",
        _look_at_the_prefix,
        name="repeated n-grams on a CPU",
        why="fairseq compares the end of the whole buffer of tokens, padding as long as the search goes on, in place of "
        "the prefix's with what came before: on a CPU --no-repeat-ngram-size forbids nothing, silently.",
    ),
)
