"""A switch that lets the inner bodies of the objectives and measures run through torch.compile."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_enabled = False


def use_compiled_bodies(enabled: bool = True) -> None:
    """Compile the inner bodies on their next use (or stop using what was compiled), for the whole process.

    Compiled or not, the numbers are the same up to rounding; a compiled body does in one pass over the memory
    what takes some fifty otherwise, but needs a C++ compiler (Triton on CUDA), and a minute or so at its
    first call.
    """
    global _enabled
    _enabled = enabled


def bodies_are_compiled() -> bool:
    """Whether ``use_compiled_bodies`` is on."""
    return _enabled


def compilable(body: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Decorate a function of tensors and numbers that may run through torch.compile; it must not change its
    arguments."""
    compiled: Callable[Parameters, Result] | None = None

    @functools.wraps(body)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        nonlocal compiled
        if not _enabled:
            return body(*args, **kwargs)
        if compiled is None:
            compiled = torch.compile(body, dynamic=True)
        return compiled(*args, **kwargs)

    return call
