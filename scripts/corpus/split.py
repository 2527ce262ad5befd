"""Training, validation and test text, split by document and free of each other's segments."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from .units import Segment
from .words import in_characters, in_words, words_and_numbers

MIN_HELD_OUT_WORDS = 4
NGRAM_ORDER = 4
MAX_COVERAGE = 0.75
# Documents are held out until they have this many times the segments wanted: the filters take some away.
_SURPLUS = (1.1, 1.2, 1.3, 1.4, 1.5, 2.0, 3.0, 4.0)
# A large document has more segments than this, and more than this share of those wanted.
_LARGE_DOCUMENT = 100
_LARGE_SHARE = 0.2


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How many segments of one source to hold out."""

    valid: int
    test: int


@dataclasses.dataclass
class Splits:
    """The three parts; no document is in two of them, no held-out side equals a training side."""

    train: list[Segment]
    valid: list[Segment]
    test: list[Segment]


def document_order(document: str) -> str:
    """The key by which documents are ordered: a hash, so that neighbours by name do not stay together."""
    return hashlib.sha256(document.encode()).hexdigest()


def split_by_document(segments: Mapping[str, Sequence[Segment]], sizes: Mapping[str, Sizes]) -> Splits:
    """Split the segments of several sources; a source without sizes goes to training as a whole.

    Of each source, documents in the order of their hashes go to test, then to validation, until both have
    enough segments left after :func:`hold_out`; all others go to training. A document that
    would be a large part of a held-out text stays in training.
    """
    for surplus in _SURPLUS:
        train, valid, test = [], {}, {}
        for source, of_source in segments.items():
            wanted = sizes.get(source, Sizes(0, 0))
            test[source], valid[source], rest = _by_quota(of_source, wanted, surplus)
            train += rest
        kept_test = hold_out(test, train, {source: size.test for source, size in sizes.items()})
        kept_valid = hold_out(
            valid, [*train, *kept_test], {source: size.valid for source, size in sizes.items()}
        )
        if len(kept_test) + len(kept_valid) == sum(size.valid + size.test for size in sizes.values()):
            break
    return Splits(train, kept_valid, kept_test)


def hold_out(
    candidates: Mapping[str, Sequence[Segment]], train: Sequence[Segment], sizes: Mapping[str, int]
) -> list[Segment]:
    """The first ``sizes[source]`` candidates of each source that the training text does not give away.

    Dropped are segments under four words, segments of which a side (whatever its case) is that of a training
    segment or of an earlier candidate, and segments of which one training source has three quarters of the
    distinct word 4-grams or more.
    """
    sources = {segment.source.casefold() for segment in train}
    targets = {segment.target.casefold() for segment in train}
    fresh: list[tuple[str, Segment]] = []
    for name, of_source in candidates.items():
        for segment in of_source:
            source, target = segment.source.casefold(), segment.target.casefold()
            if is_long_enough(segment) and source not in sources and target not in targets:
                sources.add(source)
                targets.add(target)
                fresh.append((name, segment))
    covered = max_coverage([s.source for _, s in fresh], (s.source for s in train))
    kept: dict[str, list[Segment]] = {name: [] for name in candidates}
    for (name, segment), share in zip(fresh, covered, strict=True):
        if share < MAX_COVERAGE and len(kept[name]) < sizes.get(name, 0):
            kept[name].append(segment)
    return [segment for of_source in kept.values() for segment in of_source]


def is_long_enough(segment: Segment) -> bool:
    """Whether both sides have at least four words."""
    sides = (words_and_numbers(in_words(side)) for side in (segment.source, segment.target))
    return min(map(len, sides)) >= MIN_HELD_OUT_WORDS


def max_coverage(held_out: Sequence[str], train: Iterable[str]) -> list[float]:
    """For each held-out text the largest share of its distinct word 4-grams that one training text contains.

    Only the 4-grams of ``held_out`` are kept in memory; ``train`` is read once.
    """
    grams = [_ngrams(text) for text in held_out]
    where: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, of_text in enumerate(grams):
        for gram in of_text:
            where[gram].append(index)
    most = [0] * len(held_out)
    for text in train:
        hits = Counter(index for gram in _ngrams(text) if gram in where for index in where[gram])
        for index, count in hits.items():
            most[index] = max(most[index], count)
    return [count / len(of_text) if of_text else 0.0 for count, of_text in zip(most, grams, strict=True)]


def _ngrams(text: str) -> set[tuple[str, ...]]:
    words = words_and_numbers(in_characters(text.casefold()))
    return set(zip(*(words[start:] for start in range(NGRAM_ORDER)), strict=False))


def _by_quota(
    segments: Sequence[Segment], sizes: Sizes, surplus: float
) -> tuple[list[Segment], list[Segment], list[Segment]]:
    """Whole documents to test, validation and training; only segments of enough words count as held out."""
    documents: dict[str, list[Segment]] = defaultdict(list)
    for segment in segments:
        documents[segment.document].append(segment)
    parts: tuple[list[Segment], list[Segment], list[Segment]] = ([], [], [])
    wanted = (sizes.test * surplus, sizes.valid * surplus)
    part, count = 0, 0
    large = max(_LARGE_DOCUMENT, _LARGE_SHARE * max(sizes.test, sizes.valid))
    for document in sorted(documents, key=document_order):
        if len(documents[document]) > large:
            parts[2].extend(documents[document])
            continue
        while part < 2 and count >= wanted[part]:
            part, count = part + 1, 0
        parts[part].extend(documents[document])
        count += sum(map(is_long_enough, documents[document]))
    return parts
