"""Quotation marks, dashes and blanks of every kind as those of a plain keyboard."""

from __future__ import annotations

import re
import unicodedata

_CHARACTERS = str.maketrans(
    {
        **dict.fromkeys("“”„‟«»″＂", '"'),
        **dict.fromkeys("‘’‚‛‹›′`´", "'"),
        **dict.fromkeys("‐‑‒–—―−", "-"),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad\ufe0e\ufe0f", None),
        **dict.fromkeys(map(chr, [*range(0x20), *range(0x7F, 0xA0)]), " "),
        "…": "...",
    }
)
_PAIRED_QUOTES = re.compile(r"''|,,(?=\w)")


def plain_punctuation(text: str) -> str:
    """NFC, plain quotation marks, dashes and spaces, no invisible characters, single spaces; done twice it is the same.

    >>> plain_punctuation("„So“ – oder so …")
    '"So" - oder so ...'
    """
    text = unicodedata.normalize("NFC", text).translate(_CHARACTERS)
    return " ".join(_PAIRED_QUOTES.sub('"', text).split())
