"""Kendall's tau-b of many bootstrap resamples at once, O(n log n) each.

Which pairs of sentences disagree does not change from resample to resample, only how often each pair was
drawn. The pairs are met level by level as in merge sort, whose orders are worked out once; a resample is then
a few passes over its counts at each level (W. R. Knight, 1966, for the counting of ties).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ednd_nmt.evaluation.arrays import Vector
from ednd_nmt.evaluation.ordering import Counts, Ordering


class KendallTau:
    """Tau-b of two variables, -1 to 1, NaN for a resample in which either has one value only.

    Args:
        first: ``[n]``, finite.
        second: ``[n]``, finite.
    """

    def __init__(self, first: Vector, second: Vector) -> None:
        pairs = np.unique(np.stack([first, second], axis=1), axis=0, return_inverse=True)[1]
        self._ties = [Ordering(key) for key in (first, second, pairs.ravel().astype(np.float64))]
        by_first = np.lexsort((second, first))
        values, places = second[by_first], np.arange(first.size)
        self._levels = []
        width = 1
        while width < first.size:
            block, right = places // (2 * width), places // width % 2
            merged = np.lexsort((right, values, block))  # of equal values, those on the left come first
            starts = np.arange(0, first.size, 2 * width)
            self._levels.append((by_first[merged], right[merged].astype(np.float64), starts))
            width *= 2

    def __call__(self, counts: Counts) -> npt.NDArray[np.float64]:
        """Tau-b ``[resamples]`` for every row of ``counts`` ``[resamples, n]``."""
        total = counts.sum(axis=-1)
        first, second, both = (_pairs(order.group_sums(counts)).sum(axis=-1) for order in self._ties)
        every = _pairs(total)
        agreement = every - first - second + both - 2.0 * self._discordant(counts)
        scale = np.sqrt((every - first) * (every - second))
        return np.divide(agreement, scale, out=np.full_like(scale, np.nan), where=scale > 0)

    def _discordant(self, counts: Counts) -> npt.NDArray[np.float64]:
        """How many drawn pairs the two variables order in opposite ways."""
        found = np.zeros(counts.shape[0])
        for order, is_right, starts in self._levels:
            drawn = counts[:, order]
            right = drawn * is_right
            left = np.cumsum(drawn - right, axis=-1)
            # For each on the right, those on the left of its block that come after it.
            at_end = left[:, np.append(starts[1:], order.size) - 1]
            found += np.einsum("rb,rb->r", at_end, np.add.reduceat(right, starts, axis=-1))
            found -= np.einsum("rn,rn->r", right, left)
        return found


def _pairs(count: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return count * (count - 1.0) / 2.0
