"""Which pieces of a segmented sentence make up a word."""

from __future__ import annotations

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
