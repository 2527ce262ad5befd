"""Sentence alignment inside a block whose two sides are known to be translations of each other."""

from __future__ import annotations

import math

from .sentences import split_sentences

# Gale & Church 1993, "A program for aligning sentences in bilingual corpora": variance of the difference in
# length per source character, and the cost (negative log prior) of merging a sentence.
_VARIANCE = 6.8
_MERGE_PENALTY = -math.log(0.089 / 0.89)
# A half-open range of sentence numbers.
Range = tuple[int, int]

_STEPS = ((1, 1), (1, 2), (2, 1), (1, 3), (3, 1), (2, 2))
# Worse than this per step, the alignment is not trusted and the block stays whole.
_MAX_STEP_COST = 9.0


def align_block(source: str, target: str) -> list[tuple[str, str]]:
    """Split a block into aligned sentences.

    Equal counts are paired in order. Otherwise a length-based alignment merges sentences (none is ever
    dropped); if it fits badly, the block is kept as one pair.

    Complexity: O(n m) in the numbers of sentences.
    """
    sources, targets = split_sentences(source), split_sentences(target)
    if len(sources) == len(targets):
        return list(zip(sources, targets, strict=True))
    aligned = align_lengths([len(s) for s in sources], [len(t) for t in targets])
    if aligned is None:
        return [(source, target)]
    return [(" ".join(sources[a:b]), " ".join(targets[c:d])) for (a, b), (c, d) in aligned]


def align_lengths(sources: list[int], targets: list[int]) -> list[tuple[Range, Range]] | None:
    """Cheapest monotone alignment of sentence lengths (characters) as pairs of half-open index ranges.

    None where no alignment covers both sides or one of its steps is too unlikely.
    """
    ratio = sum(targets) / max(1, sum(sources))
    best: dict[tuple[int, int], tuple[float, tuple[int, int]]] = {(0, 0): (0.0, (0, 0))}
    for i in range(len(sources) + 1):
        for j in range(len(targets) + 1):
            for di, dj in _STEPS:
                before = best.get((i - di, j - dj))
                if i < di or j < dj or before is None:
                    continue
                cost = _step_cost(sum(sources[i - di : i]), sum(targets[j - dj : j]), ratio, di + dj - 2)
                if cost <= _MAX_STEP_COST and before[0] + cost < best.get((i, j), (math.inf,))[0]:
                    best[i, j] = (before[0] + cost, (i - di, j - dj))
    here = (len(sources), len(targets))
    if here not in best:
        return None
    path = []
    while here != (0, 0):
        back = best[here][1]
        path.append(((back[0], here[0]), (back[1], here[1])))
        here = back
    return path[::-1]


def _step_cost(source: int, target: int, ratio: float, merged: int) -> float:
    deviation = (target - source * ratio) / math.sqrt(_VARIANCE * max(1, source))
    return 0.5 * deviation**2 + merged * _MERGE_PENALTY
