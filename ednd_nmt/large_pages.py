"""What fresh memory costs, and how less of it is asked for: large pages for large tensors, and a malloc that keeps blocks.

A fresh tensor's memory is handed over page by page as it is first written to. In pages of 4 KiB that takes longer than most
of what is computed here: 42 ms to fill 80 MB, of which 6 are the writing; in pages of 2 MiB it is 8 (AMD EPYC, Linux 6.18,
one thread). Linux does so unasked only where it is set up to (``/sys/kernel/mm/transparent_hugepage/enabled`` is
``always``), but commonly on advice.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
from collections.abc import Callable

import torch
from torch import Tensor

_PAGE = 2 << 20
_SMALLEST = 32 << 20
"""Bytes from which on glibc's malloc asks the system for fresh memory, whatever has been freed."""


def in_large_pages(tensor: Tensor) -> Tensor:
    """The same tensor; if it is large and on a CPU, the system has been advised. To be called before it is written to.

    Only the whole large pages that the tensor covers are meant, so that it takes no more memory than before.
    """
    if tensor.device.type == "cpu" and tensor.nbytes >= _SMALLEST and tensor.is_contiguous():
        advise = _madvise()
        if advise is not None:
            first = -(-tensor.data_ptr() // _PAGE) * _PAGE
            end = (tensor.data_ptr() + tensor.nbytes) // _PAGE * _PAGE
            advise(first, end - first, mmap.MADV_HUGEPAGE)  # advice: where it is not taken, nothing is lost
    return tensor


@functools.cache
def let_malloc_keep_blocks() -> None:
    """Have glibc's malloc keep what is freed, up to some 60 MiB, for the next block of temporaries; once per process.

    malloc learns from the largest tensor below 32 MiB that it has seen freed: such sizes it keeps from then on, and twice as
    much at the end of its heap. Before it has, the temporaries of every block are given back to the system and handed over
    anew. So it is shown one, which nobody writes to. Where the user has set malloc's thresholds it learns nothing.
    """
    torch.empty(_SMALLEST - (1 << 20), dtype=torch.uint8)


@functools.cache
def _madvise() -> Callable[[int, int, int], int] | None:
    """The system's call; None where there is none of its kind."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return None
    try:
        function = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return None
    function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    function.restype = ctypes.c_int
    advise: Callable[[int, int, int], int] = function
    return advise
