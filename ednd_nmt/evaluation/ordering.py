"""Sentences in the order of a score, for one data set or for many bootstrap resamples of it at once.

A resample is a row of counts: how often each sentence was drawn. Sorting is done once; every resample is then
a few passes over its counts, and a sentence drawn k times is a tie of k equal sentences.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ednd_nmt.evaluation.arrays import Vector

Counts = npt.NDArray[np.float64]  # [resamples, n], every row sums to the same total


class Ordering:
    """The sentences from the smallest to the largest key, equal keys in one group.

    Args:
        key: ``[n]``, finite.
    """

    def __init__(self, key: Vector) -> None:
        self._order = np.argsort(key, kind="stable")
        ordered = key[self._order]
        self._starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        self._has_ties = self._starts.size < key.size

    def group_sums(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Sums ``[..., groups]`` of values ``[..., n]`` within each group, smallest key first."""
        taken = values[..., self._order]
        return np.add.reduceat(taken, self._starts, axis=-1) if self._has_ties else taken

    def retained_sums(self, values: Vector, counts: Counts | None = None) -> npt.NDArray[np.float64]:
        """Sums ``[..., N + 1]`` of the values of the 0, 1, ..., N sentences with the smallest keys.

        Within a group every sentence counts with the mean of its group.

        Args:
            values: ``[n]``.
            counts: ``[..., n]``, each row with total N; the data set itself if left out.
        """
        if counts is None:
            counts = np.ones_like(values)
        sizes = self.group_sums(counts)
        means = np.divide(self.group_sums(counts * values), sizes, out=np.zeros_like(sizes), where=sizes > 0)
        steps = np.repeat(means.ravel(), sizes.astype(np.intp).ravel()).reshape(*sizes.shape[:-1], -1)
        sums = np.zeros((*steps.shape[:-1], steps.shape[-1] + 1))
        np.cumsum(steps, axis=-1, out=sums[..., 1:])
        return sums

    def ranks(self, counts: Counts) -> npt.NDArray[np.float64]:
        """Mean ranks ``[..., n]``, from 1, within each resample, in the order of the input."""
        sizes = self.group_sums(counts)
        group_ranks = np.cumsum(sizes, axis=-1) - (sizes - 1.0) / 2.0
        group_of = np.zeros(self._order.size, dtype=np.intp)
        group_of[self._starts[1:]] = 1
        position = np.empty_like(self._order)
        position[self._order] = np.cumsum(group_of)
        return group_ranks[..., position]
