"""The two nouns of the corpus: a block as a document gives it, and a segment as a model sees it."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Block:
    """A paragraph, heading or list item and its translation.

    ``document`` names what the block was written in (the description of a package, a manual page) and is the
    unit of splitting: all blocks of one document go to the same split.
    """

    document: str
    source: str
    target: str


@dataclasses.dataclass(frozen=True)
class Segment:
    """One cleaned line of the corpus: usually a sentence, with the document it comes from."""

    document: str
    source: str
    target: str
