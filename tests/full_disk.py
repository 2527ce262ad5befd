"""A disk that is full: for a while no file may grow beyond a size, and writing more fails as on a disk without room."""

from __future__ import annotations

import contextlib
import resource
import sys
from collections.abc import Iterator

SIZE = 200
"""Bytes of a file for which there is room."""
NO_BYTECODE = {"PYTHONDONTWRITEBYTECODE": "1"}
"""Environment of a process on such a disk: what Python keeps of an imported module would be cut off, and used again."""


def bound(size: int = SIZE) -> None:
    """No file of this process may be larger; also for ``preexec_fn``."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@contextlib.contextmanager
def full_disk(size: int = SIZE) -> Iterator[None]:
    """Within this context no file of this process may be larger."""
    before, writes_no_bytecode = resource.getrlimit(resource.RLIMIT_FSIZE), sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    bound(size)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        sys.dont_write_bytecode = writes_no_bytecode
