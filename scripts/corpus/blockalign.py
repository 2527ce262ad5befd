"""Alignment of the blocks of a document and its translation by their order, kinds and lengths."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .markup import TextBlock

_SKIP_COST = 1.5
_LENGTH_WEIGHT = (
    4.0  # a pair whose lengths differ by a factor of two more than usual costs about as two skips
)
# German characters per English character; a page's own ratio would count the blocks that have no match.
_LENGTH_RATIO = 1.18
_MAX_LENGTH_COST = 6.0
_SHARED_WORDS_WEIGHT = 4.0  # names, options and numbers stay the same in a translation


def align_blocks(sources: Sequence[TextBlock], targets: Sequence[TextBlock]) -> list[tuple[str, str]]:
    """Pairs of texts of blocks that translate each other, in order.

    Where the kinds of the blocks are the same sequence (tools such as po4a keep it; the target may go on
    after the end, as with a translator's note), they are paired one to one. Otherwise the cheapest monotone
    alignment pairs blocks of a kind by length and shared words and leaves blocks out.

    Complexity: O(n m) time and memory in the numbers of blocks, where the sequences differ.
    """
    kinds = [block.kind for block in sources]
    if kinds and kinds == [block.kind for block in targets[: len(kinds)]]:
        return [(s.text, t.text) for s, t in zip(sources, targets, strict=False)]
    return [(sources[i].text, targets[j].text) for i, j in _cheapest(sources, targets)]


def _cheapest(sources: Sequence[TextBlock], targets: Sequence[TextBlock]) -> list[tuple[int, int]]:
    """Needleman and Wunsch's alignment; only pairs, not the skipped blocks."""
    source_lengths = [math.log(len(s.text) * _LENGTH_RATIO + 5) for s in sources]
    target_lengths = [math.log(len(t.text) + 5) for t in targets]
    source_words = [frozenset(s.text.split()) for s in sources]
    target_words = [frozenset(t.text.split()) for t in targets]
    costs = [[j * _SKIP_COST for j in range(len(targets) + 1)]]
    moves: list[bytearray] = [
        bytearray(b"\1" * (len(targets) + 1))
    ]  # 0: pair, 1: skip a target, 2: skip a source
    for i, source in enumerate(sources):
        above, row = costs[-1], [(i + 1) * _SKIP_COST]
        move = bytearray([2])
        for j, target in enumerate(targets):
            best, how = row[j] + _SKIP_COST, 1
            if above[j + 1] + _SKIP_COST < best:
                best, how = above[j + 1] + _SKIP_COST, 2
            if source.kind == target.kind:
                cost = min(_MAX_LENGTH_COST, _LENGTH_WEIGHT * abs(source_lengths[i] - target_lengths[j]))
                shared = len(source_words[i] & target_words[j])
                if shared:
                    total = len(source_words[i]) + len(target_words[j])
                    cost -= _SHARED_WORDS_WEIGHT * 2 * shared / total
                if above[j] + cost < best:
                    best, how = above[j] + cost, 0
            row.append(best)
            move.append(how)
        costs.append(row)
        moves.append(move)
    pairs, i, j = [], len(sources), len(targets)
    while i and j:
        how = moves[i][j]
        if how == 0:
            pairs.append((i - 1, j - 1))
        i, j = i - (how != 1), j - (how != 2)
    return pairs[::-1]
