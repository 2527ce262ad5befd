"""Which pieces of a segmented sentence make up a word."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

OPENS = "▁"  # SentencePiece: before the first piece of a word
GOES_ON = "@@"  # BPE: after every piece but the last of a word


def word_groups(pieces: Sequence[str]) -> list[list[int]]:
    """Positions of the pieces of each word: SentencePiece, BPE, or plain words that are one piece each."""
    marked = any(piece.startswith(OPENS) for piece in pieces)
    groups: list[list[int]] = []
    goes_on = False
    for i, piece in enumerate(pieces):
        opens = piece.startswith(OPENS) if marked else not goes_on
        if opens or not groups:
            groups.append([])
        groups[-1].append(i)
        goes_on = piece.endswith(GOES_ON)
    return groups


def spelled(pieces: Sequence[str]) -> str:
    """The word that pieces make up."""
    return "".join(piece.removeprefix(OPENS).removesuffix(GOES_ON) for piece in pieces)


def words_of_pieces(pieces: Sequence[str], text: str) -> list[list[int]]:
    """Which words of ``text``, split at blanks, each piece has characters of; more than one or none are possible.

    The pieces, without their marks and blanks, spell the text without its blanks, wherever a detokeniser has put these.
    Where they do not (escaped, normalised or unknown characters), both are aligned so that most characters match; what
    lies between two matches on one side stands for what lies there on the other. A piece without characters, or whose own
    are not in the text, belongs to the word that follows.
    """
    words = text.split()
    word_of_character = [number for number, word in enumerate(words) for _ in word]
    spellings = ["".join(spelled([piece]).replace(OPENS, "").split()) for piece in pieces]
    places = _aligned("".join(spellings), "".join(words))
    found: list[list[int]] = []
    start = 0
    for spelling in spellings:
        end = start + len(spelling)
        own = [place for place in places[start:end] if place is not None]
        if not own:
            own = [place for place in places[end:] if place is not None][:1]
        found.append(sorted({word_of_character[place] for place in own}))
        start = end
    return found


def _aligned(ours: str, theirs: str) -> list[int | None]:
    """The position in ``theirs`` of every character of ``ours``; None where it has no counterpart."""
    if ours == theirs:
        return list(range(len(ours)))
    places: list[int | None] = [None] * len(ours)
    matcher = difflib.SequenceMatcher(None, ours, theirs, autojunk=False)
    for _, start, end, first, last in matcher.get_opcodes():
        for i in range(start, end if last > first else start):
            places[i] = min(first + i - start, last - 1)
    return places
