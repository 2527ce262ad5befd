"""Example sentences of the Ding dictionary (trans-de-en): ``German | ... :: English | ...``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..units import Block

PACKAGE = "trans-de-en"
PATH = "usr/share/trans/de-en"
_NOTE = re.compile(r"\s*(\[[^\]]*\]|\{[^}]*\}|<[^>]*>)")
_SENTENCE = re.compile(r"^[\"'„“‚‘]?[A-ZÄÖÜ].*[.!?][\"'“”’]?$")


def is_wanted(path: str) -> bool:
    """Whether a file of the package is the dictionary."""
    return path == PATH


def blocks(dictionary: str) -> Iterator[Block]:
    """The parts that are a sentence on both sides: a capital first, a full stop last, at least three words.

    Parts with alternatives (``polar/exact`` or ``a; b``) are left out: they are not one sentence.
    """
    for number, line in enumerate(dictionary.splitlines()):
        if line.startswith("#") or " :: " not in line:
            continue
        target_side, source_side = line.split(" :: ", 1)
        sources, targets = source_side.split(" | "), target_side.split(" | ")
        if len(sources) != len(targets):
            continue
        for source, target in zip(sources, targets, strict=True):
            source, target = _NOTE.sub("", source).strip(), _NOTE.sub("", target).strip()
            if _is_sentence(source) and _is_sentence(target):
                yield Block(f"ding/{number}", source, target)


def _is_sentence(text: str) -> bool:
    return len(text.split()) >= 3 and ";" not in text and "/" not in text and bool(_SENTENCE.match(text))
