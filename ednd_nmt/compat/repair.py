"""What a run-time repair of fairseq is."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

_WRAPPERS = (
    "ednd_nmt_wrappers"  # attribute: names, since a package that was imported twice has every function twice
)


@dataclass(frozen=True)
class Repair:
    """One thing that fairseq gets wrong on the installed Python, torch and numpy, and its repair.

    ``needed`` looks at what is installed, preferably by trying it, and is false once ``apply`` has run: a
    repair is idempotent, and does nothing where it is not needed.
    """

    name: str
    why: str
    needed: Callable[[], bool]
    apply: Callable[[], None]


def apply_needed(repairs: Iterable[Repair]) -> list[str]:
    """Apply the repairs that are needed here, in order; their names."""
    applied = []
    for repair in repairs:
        if repair.needed():
            repair.apply()
            applied.append(repair.name)
    return applied


def wrap(owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
    """From now on ``owner.name(...)`` is ``wrapper(original, ...)``; ``owner`` is a module or a class of fairseq."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*args: Any, **options: Any) -> Any:
        return wrapper(original, *args, **options)

    setattr(wrapped, _WRAPPERS, (*getattr(original, _WRAPPERS, ()), wrapper.__name__))
    is_static = isinstance(inspect.getattr_static(owner, name), staticmethod)
    setattr(owner, name, staticmethod(wrapped) if is_static else wrapped)


def is_wrapped(owner: Any, name: str, wrapper: Callable[..., Any]) -> bool:
    """Whether :func:`wrap` has been called with these."""
    return wrapper.__name__ in getattr(getattr(owner, name), _WRAPPERS, ())
