"""Working through a [rows, classes] tensor in blocks of rows that stay in the processor's cache."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ednd_nmt.compiled import bodies_are_compiled

_CACHE_BLOCK_ELEMENTS = 1 << 18
_COMPILED_WHOLE_ELEMENTS = 3 << 20
_COMPILED_BLOCK_ELEMENTS = 1 << 20
_GPU_BLOCK_ELEMENTS = 1 << 24
_SUM_BLOCK = 256


def row_blocks(values: Tensor, rows: int | None = None) -> Iterator[slice]:
    """Slices that cover the rows of ``values`` [rows, classes]; on a CPU a block is small enough for its
    temporaries to stay in cache.

    Besides the speed of the cache this avoids the page faults of large temporaries, which cost as much as the
    arithmetic. Compiled bodies have few temporaries; their blocks are larger, since each costs a call, and as small as the
    allocator still keeps for the next one; what is not much larger is one block, since of several, results are copied.
    Blocks are of one size but for the last. ``rows`` is how many of the rows are worked through, where not all of them.
    """
    classes = values.shape[-1]
    rows = len(values) if rows is None else rows
    elements = _block_elements(rows * classes, values.device)
    step = max(1, elements // max(1, classes))
    step = max(1, -(-rows // max(1, -(-rows // step))))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def _block_elements(elements: int, device: torch.device) -> int:
    if device.type != "cpu":
        return _GPU_BLOCK_ELEMENTS
    if not bodies_are_compiled():
        return _CACHE_BLOCK_ELEMENTS
    return _COMPILED_WHOLE_ELEMENTS if elements <= _COMPILED_WHOLE_ELEMENTS else _COMPILED_BLOCK_ELEMENTS


def select_rows(values: Tensor, positions: Tensor) -> Tensor:
    """The rows of ``values`` [batch, length, ...] at ``positions`` int64 [n] of the flattened [batch x length].

    A mask would do the same, but makes its positions anew at every use, for which a GPU is waited for.
    """
    return values.flatten(0, 1).index_select(0, positions)


def working_dtype(dtype: torch.dtype) -> torch.dtype:
    """float64 for float64 and float32 for everything else: the dtype the arithmetic is done in."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def row_sum(values: Tensor) -> Tensor:
    """Sums over the last dimension as float64 [rows, 1]: short float32 partial sums, added up in float64.

    A float64 sum of float32 input converts every element first and takes five times as long; partial sums of
    256 have a rounding error below one unit in the last place of the whole. Compiled, the conversion costs nothing that
    counts, and a plain sum shares one loop with what is summed and with other results.
    """
    if values.dtype == torch.float64 or torch.compiler.is_compiling():
        return values.sum(-1, keepdim=True, dtype=torch.float64)
    classes = values.shape[-1]
    whole = classes - classes % _SUM_BLOCK
    if whole == 0:
        return values.sum(-1, keepdim=True, dtype=torch.float64)
    total = (
        values[..., :whole].unflatten(-1, (-1, _SUM_BLOCK)).sum(-1).sum(-1, keepdim=True, dtype=torch.float64)
    )
    if whole < classes:
        total = total + values[..., whole:].sum(-1, keepdim=True, dtype=torch.float64)
    return total
