"""A switch that lets the inner bodies of the objectives and measures run through torch.compile."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_enabled = False
_NEVER = 1 << 30


def _options() -> dict[str, Any]:
    """What the compiler is told, as far as this version of PyTorch knows it.

    Products and sums are joined, which halves the polynomials. The number of threads is named, since the compiler's cache on
    disk would otherwise give a process with several threads the code that one with a single thread has left there. Nothing
    is kept in memory because it is long to compute, as the compiler would: :func:`computed_once` says what is.
    """
    import torch._inductor  # takes a while, and most processes compile nothing

    wanted = {
        "cpp.enable_floating_point_contract_flag": "fast",
        "cpp.threads": torch.get_num_threads(),
        "realize_opcount_threshold": _NEVER,
        "realize_reads_threshold": _NEVER,
    }
    known = torch._inductor.list_options()
    return {name: value for name, value in wanted.items() if name in known}


def use_compiled_bodies(enabled: bool = True) -> None:
    """Compile the inner bodies on their next use (or stop using what was compiled), for the whole process.

    Compiled or not, the numbers are the same up to rounding; a compiled body does in one pass over the memory
    what takes some fifty otherwise, but needs a C++ compiler (Triton on CUDA), and a minute or so at its
    first call. Where torch.compile fails, one warning says why, the switch goes off, and all goes on eagerly.
    """
    global _enabled
    _enabled = enabled


def bodies_are_compiled() -> bool:
    """Whether ``use_compiled_bodies`` is on."""
    return _enabled


def computed_once(values: Tensor) -> Tensor:
    """What a compiled body keeps in memory for the loops that read it, in place of computing it in each of them.

    So that a loop over the classes does not make what there is once per row for each few elements of it. To be read only:
    what is written to in its place is copied by the compiler.
    """
    if not torch.compiler.is_compiling():
        return values
    return values.as_strided(
        values.size(), values.stride()
    )  # the compiler strides only over what is in memory


def compilable(body: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Decorate a function of tensors and numbers that may run through torch.compile.

    Sizes may change from call to call; every new value of a number has the body compiled once more. A body may change its
    arguments, since what fails is compiling, before anything has run.
    """
    compiled: Callable[Parameters, Result] | None = None
    numbers_as_constants: Any = (
        None  # else each coefficient of each series is an argument of the compiled code
    )

    @functools.wraps(body)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        nonlocal compiled, numbers_as_constants
        if not _enabled:
            return body(*args, **kwargs)
        try:
            if compiled is None:
                compiled = torch.compile(body, dynamic=True, options=_options())
                numbers_as_constants = torch._dynamo.config.patch(specialize_float=True)
            with (
                numbers_as_constants
            ):  # entered at every call, since a new number compiles the body once more
                return compiled(*args, **kwargs)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # compilers fail in many ways; a fault of the body's comes up again below
            logger.warning(
                "torch.compile does not work here, going on without it: the same numbers, but slower (%s)",
                (str(error).strip() or type(error).__name__).splitlines()[0],
            )
            use_compiled_bodies(False)
            return body(*args, **kwargs)

    return call
