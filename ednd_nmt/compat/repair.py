"""What a run-time repair of fairseq is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass


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
