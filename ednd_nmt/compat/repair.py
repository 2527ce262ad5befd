"""What a run-time repair of fairseq is."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

# Attribute of what stands in for a function of fairseq: the names of its wrappers, not the wrappers themselves, since a
# package that was imported twice has every function twice.
_WRAPPERS = "ednd_nmt_wrappers"


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


def wrapping(
    owner: Callable[[], Any],
    function: str,
    wrapper: Callable[..., Any],
    *,
    name: str,
    why: str,
    needed: Callable[[], bool] = lambda: True,
) -> Repair:
    """The repair after which ``owner().function(...)`` is ``wrapper(original, ...)``.

    Args:
        owner: returns a module or a class of fairseq, which is not imported before.
        function: name of a function, or of a method of any kind: ``wrapper`` gets the instance or the class after
            ``original``.
        needed: whether the installed fairseq is at fault, where not each is.
    """
    return Repair(
        name,
        why,
        needed=lambda: not _is_wrapped(owner(), function, wrapper) and needed(),
        apply=lambda: _wrap(owner(), function, wrapper),
    )


def _wrap(owner: Any, function: str, wrapper: Callable[..., Any]) -> None:
    found = inspect.getattr_static(owner, function)
    kind = type(found) if isinstance(found, staticmethod | classmethod) else None
    original = found if kind is None else found.__func__

    @functools.wraps(original)
    def wrapped(*args: Any, **options: Any) -> Any:
        return wrapper(original, *args, **options)

    setattr(wrapped, _WRAPPERS, (*getattr(original, _WRAPPERS, ()), wrapper.__name__))
    setattr(owner, function, wrapped if kind is None else kind(wrapped))


def _is_wrapped(owner: Any, function: str, wrapper: Callable[..., Any]) -> bool:
    return wrapper.__name__ in getattr(getattr(owner, function), _WRAPPERS, ())
