"""Shifted sets: inputs that models trained on the corpus should be less certain about."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ednd_nmt.evaluation.shift import as_spoken, permute_words

from .units import Segment


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
