"""Python 3.11 refuses the defaults of fairseq's configuration classes."""

from __future__ import annotations

import dataclasses
import functools
import sys
from typing import Any

from ednd_nmt.compat.repair import Repair

_original_dataclass = dataclasses.dataclass


def _make_defaults_hashable(cls: type) -> None:
    """Give a hash (by identity) to the classes whose instances ``cls`` uses as defaults and that have none.

    Python 3.11 takes an unhashable default for a mutable one; before, only lists, dicts and sets counted as
    such.
    """
    for value in vars(cls).values():
        default = value.default if isinstance(value, dataclasses.Field) else value
        kind = type(default)
        if dataclasses.is_dataclass(kind) and kind.__hash__ is None:
            kind.__hash__ = object.__hash__  # type: ignore[method-assign, assignment]


@functools.wraps(_original_dataclass)
def _tolerant_dataclass(cls: type | None = None, /, **options: Any) -> Any:
    if cls is None:
        return functools.partial(_tolerant_dataclass, **options)
    _make_defaults_hashable(cls)
    return _original_dataclass(cls, **options)


def _apply() -> None:
    dataclasses.dataclass = _tolerant_dataclass  # type: ignore[assignment]


def restore() -> None:
    """Put Python's own ``dataclass`` back."""
    if dataclasses.dataclass is _tolerant_dataclass:
        dataclasses.dataclass = _original_dataclass


REPAIRS = (
    Repair(
        name="dataclass defaults",
        why="fairseq 0.12.2 and the last sources upstream use instances of dataclasses as defaults of "
        "fields; Python 3.11 raises 'mutable default ... is not allowed' while they are imported.",
        needed=lambda: sys.version_info >= (3, 11) and dataclasses.dataclass is _original_dataclass,
        apply=_apply,
    ),
)
