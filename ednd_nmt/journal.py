"""The file beside an unfinished output that says how much of it is good, and what made it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ednd_nmt.files import atomic_writer


class Journal:
    """What counts of an unfinished output: ``NAME.partial.json`` beside ``NAME.partial``.

    Whatever the output holds beyond what its journal vouches for is not to be trusted. The journal is replaced whole, so
    that one that can be read is a good one.

    Args:
        partial: the unfinished output.
        kind: what sort of output; the journal of another sort is none.
        maker: everything that the output depends on, by a name that a user knows.
        say: gets a line of news now and then, for the user.
    """

    def __init__(
        self, partial: Path, kind: str, maker: Mapping[str, str], say: Callable[[str], None]
    ) -> None:
        self._path = partial.with_name(partial.name + ".json")
        self._partial, self._kind, self._maker, self._say = partial, kind, dict(maker), say

    def write(self, **record: Any) -> None:
        """Vouch for what ``record`` describes, once that is on the disk."""
        with atomic_writer(self._path) as stream:
            json.dump({"format": self._kind, "maker": self._maker, **record}, stream)

    def read(self) -> dict[str, Any] | None:
        """The record of an earlier run, if this one may go on from there."""
        try:
            record: dict[str, Any] = json.loads(self._path.read_bytes())
            if record["format"] != self._kind:
                return None
            theirs = record["maker"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if differ := _differences(self._maker, theirs):
            self._say(f"{self._partial} was made with another {differ}; starting from the beginning")
            return None
        return record

    def remove(self) -> None:
        """Vouch for nothing any more."""
        self._path.unlink(missing_ok=True)


def _differences(maker: Mapping[str, str], other: Mapping[str, str]) -> str:
    """Names of what two makers do not have in common, as a sentence lists them; empty if there is nothing."""
    return ", ".join(sorted(name for name in maker.keys() | other if maker.get(name) != other.get(name)))
