"""Bootstrap resamples, 95 % intervals and paired comparisons.

Sentences are drawn with replacement, separately within each set. The draws depend only on the number of
sentences, the seed and the place of the set, so two systems translated from the same sentences see the same
draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ednd_nmt.evaluation.ordering import Counts
from ednd_nmt.evaluation.resampling import Figures

RESAMPLES = 1000
SEED = 12345  # the default of sacreBLEU
_CHUNK = 2**17  # counts held at a time: 1 MB, so that the passes over them stay in the processor's cache


@dataclass(frozen=True)
class Interval:
    """Mean over the resamples and the central 95 % of them."""

    mean: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2


def resample_counts(
    sizes: Sequence[int], resamples: int = RESAMPLES, seed: int = SEED
) -> Iterator[tuple[Counts, ...]]:
    """How often each sentence is drawn, in chunks of resamples: one array ``[chunk, n]`` per set."""
    generators = [np.random.default_rng([seed, place]) for place in range(len(sizes))]
    chunk = max(1, _CHUNK // sum(sizes))
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        yield tuple(_draw(generator, rows, n) for generator, n in zip(generators, sizes, strict=True))


def bootstrap(
    statistic: Callable[..., Figures], sizes: Sequence[int], resamples: int = RESAMPLES, seed: int = SEED
) -> Figures:
    """The distribution ``[resamples]`` of every figure of a statistic.

    Args:
        statistic: one of :mod:`ednd_nmt.evaluation.resampling`, called with one count array per set.
        sizes: number of sentences of each set.
    """
    chunks = [statistic(*counts) for counts in resample_counts(sizes, resamples, seed)]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def point(statistic: Callable[..., Figures], sizes: Sequence[int]) -> dict[str, float]:
    """Every figure of a statistic on the data themselves."""
    return {name: float(values[0]) for name, values in statistic(*(np.ones((1, n)) for n in sizes)).items()}


def interval(distribution: npt.NDArray[np.float64], level: float = 0.95) -> Interval | None:
    """The percentile interval; None when no resample has a defined figure."""
    defined = distribution[~np.isnan(distribution)]
    if not defined.size:
        return None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(defined.mean()), float(low), float(high))


def paired_p_value(
    first: npt.NDArray[np.float64], second: npt.NDArray[np.float64], difference: float
) -> float:
    """Two-sided p-value of the difference of two systems, from paired resamples.

    ``(1 + #{|d_b - mean d| >= |d|}) / (1 + resamples)`` with d the observed and d_b the resampled difference: how often
    resampling alone moves the difference as far from its mean, to either side. ``sacrebleu --paired-bs`` counts
    ``|d_b| - mean |d_b| > |d|``, one side of what it draws, and so gives about half of it where the difference is clear.

    Args:
        first: ``[resamples]``, the figure of one system.
        second: ``[resamples]``, that of the other, drawn with the same counts.
        difference: the observed difference, first minus second.
    """
    resampled = (first - second)[~np.isnan(first - second)]
    if not resampled.size:
        return 1.0
    as_far = int(np.count_nonzero(np.abs(resampled - resampled.mean()) >= abs(difference)))
    return (1 + as_far) / (1 + resampled.size)


def _draw(generator: np.random.Generator, rows: int, n: int) -> Counts:
    drawn = generator.integers(0, n, size=(rows, n)) + n * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)
