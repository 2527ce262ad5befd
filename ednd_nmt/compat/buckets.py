"""``--num-batch-buckets`` asks numpy for what it no longer has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ednd_nmt.compat.repair import wrapping


def _dataset_module() -> Any:
    from fairseq.data import bucket_pad_length_dataset  # has the function under its own name

    return bucket_pad_length_dataset


def _fails() -> bool:
    try:
        _dataset_module().get_buckets(np.arange(3), 2)
    except TypeError:
        return True
    return False


def _lower_percentiles(original: Callable[..., Any], sizes: Any, num_buckets: int) -> Any:
    """``get_buckets`` with the name that its interpolation has today."""
    return np.unique(np.percentile(sizes, np.linspace(0, 100, num_buckets + 1), method="lower")[1:])


REPAIRS = (
    wrapping(
        _dataset_module,
        "get_buckets",
        _lower_percentiles,
        name="buckets of lengths",
        why="fairseq calls numpy.percentile(interpolation=...), which numpy 2.4 calls method: --num-batch-buckets ends in a "
        "TypeError.",
        needed=_fails,
    ),
)
