"""Dialogue of the campaigns of The Battle for Wesnoth, from its gettext catalogues."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping

from ..units import Block

# The version of the game is part of the names; these campaigns' packages are small and full of dialogue.
PACKAGE = re.compile(r"^wesnoth-1\.\d+-(l|dw|ei|dm|did|sota|tsg)$")
_CATALOGUE = re.compile(
    r"^usr/share/games/wesnoth/[^/]+/(?:translations|locale)/de/LC_MESSAGES/(wesnoth-\w+)\.mo$"
)
# The translations are free: sentences of a message often have no match of their own, so messages stay whole.
MAX_WORDS = 40
_NOT_PROSE = re.compile(r"[<>|${}=]|\*\w")


def is_wanted(path: str) -> bool:
    """Whether a file is a German catalogue."""
    return _CATALOGUE.match(path) is not None


def read_catalogue(content: bytes) -> dict[str, str]:
    """The messages of a gettext ``.mo`` file (UTF-8), without contexts and plural forms.

    Format: GNU gettext manual, "The Format of GNU MO Files".
    """
    order = "<" if content[:4] == b"\xde\x12\x04\x95" else ">"
    count, originals, translations = struct.unpack(f"{order}3I", content[8:20])
    messages = {}
    for index in range(count):
        pair = []
        for table in (originals, translations):
            length, offset = struct.unpack_from(f"{order}2I", content, table + 8 * index)
            pair.append(content[offset : offset + length].split(b"\0")[0].decode("utf-8"))
        messages[pair[0].rsplit("\4", 1)[-1].rsplit("^", 1)[-1]] = pair[1]
    messages.pop("", None)
    return messages


def blocks(files: Mapping[str, bytes]) -> Iterator[Block]:
    """Messages of prose and some length; each is a document, as the order of a catalogue means nothing."""
    for path in sorted(files):
        match = _CATALOGUE.match(path)
        if match is None:
            continue
        for source, target in read_catalogue(files[path]).items():
            prose = not _NOT_PROSE.search(source) and not _NOT_PROSE.search(target)
            if target and prose and len(source.split()) <= MAX_WORDS:
                yield Block(f"{match[1]}/{source}", source, target)
