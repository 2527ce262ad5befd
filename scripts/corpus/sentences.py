"""Splitting blocks of prose into sentences, for English, German and their like."""

from __future__ import annotations

import re

_ABBREVIATIONS_TEXT = """
    e.g i.e etc vs cf no nos fig figs vol ed eds mr mrs ms dr prof st inc ltd co corp dept approx incl resp
    max min
    z.b d.h u.a u.ä o.ä s.o s.u bzw ca evtl ggf inkl usw vgl abb bsp nr str tel zzt sog evt i.d.r z.t
    a.k.a p.s jan feb mar apr jun jul aug sep sept oct okt nov dec dez jr sr bd hrsg allg mind p.ex env
"""
_ABBREVIATIONS = frozenset(_ABBREVIATIONS_TEXT.split())
_BOUNDARY = re.compile(r"""(?<=[.!?])(["')\]]*)\s+(?=["'(\[]*[\w<])""")
_LAST_TOKEN = re.compile(r"(\S+?)[.!?][\"')\]]*$")


def split_sentences(text: str) -> list[str]:
    """Split normalised text after ``.``, ``!`` or ``?`` before a capital, a digit or an opening quote.

    No split after an abbreviation, a single letter, or a number whose full stop may make it an ordinal.
    """
    sentences, start = [], 0
    for match in _BOUNDARY.finditer(text):
        head, rest = text[start : match.end(1)], text[match.end() :]
        if _ends_sentence(head, rest):
            sentences.append(head.strip())
            start = match.end()
    sentences.append(text[start:].strip())
    return [sentence for sentence in sentences if sentence]


def _ends_sentence(head: str, rest: str) -> bool:
    first = rest.lstrip("\"'([")[:1]
    if not (first.isupper() or first.isdigit() or rest[:1] in "\"'(["):
        return False
    last = _LAST_TOKEN.search(head)
    if last is None or not head.rstrip("\"')]").endswith("."):
        return True
    token = last[1].lstrip("\"'([").lower()
    short = (len(token) == 1 and token.isalpha()) or (len(token) <= 2 and token.isdigit())
    return not (short or token in _ABBREVIATIONS)
