"""Shifted sets: inputs that models trained on the corpus should be less certain about."""

from __future__ import annotations

import dataclasses
import hashlib
import random
import re
from collections.abc import Sequence

from .units import Segment

_NOT_SPOKEN = re.compile(r"[^\w\s'-]|(?<!\w)['-]|['-](?!\w)")


@dataclasses.dataclass(frozen=True)
class ShiftedSet:
    """Source lines and, where there are any, their references."""

    sources: list[str]
    references: list[str] | None = None


def with_references(segments: Sequence[Segment]) -> ShiftedSet:
    """Text of another domain, as it is."""
    return ShiftedSet([s.source for s in segments], [s.target for s in segments])


def target_as_source(segments: Sequence[Segment]) -> ShiftedSet:
    """The wrong language: the target side where the model expects the source language."""
    return ShiftedSet([s.target for s in segments])


def permuted(segments: Sequence[Segment]) -> ShiftedSet:
    """Corrupted text: each source's words in a random order that depends on the line alone."""
    return ShiftedSet([permute_words(s.source) for s in segments], [s.target for s in segments])


def spoken(segments: Sequence[Segment]) -> ShiftedSet:
    """The style of a speech recogniser: lower case, no punctuation."""
    pairs = [(as_spoken(s.source), s.target) for s in segments]
    return ShiftedSet([source for source, _ in pairs], [target for _, target in pairs])


def permute_words(text: str) -> str:
    """The words of ``text`` in another order (if there is one), the same on every machine."""
    words = text.split()
    if len(set(words)) < 2:
        return text
    generator = random.Random(hashlib.sha256(text.encode()).digest())
    order = list(words)
    while order == words:
        generator.shuffle(order)
    return " ".join(order)


def as_spoken(text: str) -> str:
    """``text`` lower-cased, without punctuation but for hyphens and apostrophes inside words."""
    return " ".join(_NOT_SPOKEN.sub(" ", text.lower()).split())
