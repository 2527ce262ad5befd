"""The last batch is dropped in silence, in test sets too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ednd_nmt.compat.repair import wrapping


def _drops_last_batch() -> bool:
    batches = _data_utils().batch_by_size(
        np.arange(3), None, np.ones(3, dtype=np.int64), max_sentences=2, required_batch_size_multiple=2
    )
    return sum(len(batch) for batch in batches) < 3


def _keep_last_batch(
    original: Callable[..., Any],
    indices: Any,
    num_tokens_fn: Any,
    num_tokens_vec: Any = None,
    max_tokens: Any = None,
    max_sentences: Any = None,
    required_batch_size_multiple: int = 1,
    fixed_shapes: Any = None,
) -> list[Any]:
    if not isinstance(indices, np.ndarray):
        indices = np.fromiter(indices, dtype=np.int64, count=-1)
    if len(indices) == 0:
        return []
    batches = original(
        indices,
        num_tokens_fn,
        num_tokens_vec,
        max_tokens,
        max_sentences,
        required_batch_size_multiple,
        fixed_shapes,
    )
    if fixed_shapes is None:
        # Batches are consecutive stretches of indices, so that what was dropped is what follows the last
        # one kept.
        kept = sum(len(batch) for batch in batches)
        if kept < len(indices):
            batches = [*batches, indices[kept:]]
    return batches


def _data_utils() -> Any:
    from fairseq.data import data_utils

    return data_utils


REPAIRS = (
    wrapping(
        _data_utils,
        "batch_by_size",
        _keep_last_batch,
        name="last batch",
        why="fairseq's sources after 0.12.2 drop the last batch when its size is no multiple of "
        "--required-batch-size-multiple (8 by default): 48 of 50 sentences are translated, and a set of "
        "fewer than 8 vanishes (fairseq issues 5036 and 5351).",
        needed=_drops_last_batch,
    ),
)
