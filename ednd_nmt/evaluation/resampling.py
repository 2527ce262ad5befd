"""The figures of many bootstrap resamples at once, as functions of how often each sentence was drawn.

Each class sorts its data once and is then called with counts ``[resamples, n]``; with all counts one it
gives the figure of the data set itself. Calling several of them with the same counts makes the comparison
paired. A figure that is not defined for a resample (all its errors equal, say) is NaN there.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ednd_nmt.evaluation.arrays import Vector, paired_vectors
from ednd_nmt.evaluation.calibration import RELIABILITY_BINS, reliability_bin
from ednd_nmt.evaluation.kendall import KendallTau
from ednd_nmt.evaluation.ordering import Counts, Ordering
from ednd_nmt.evaluation.quality import SacreBleuMetric
from ednd_nmt.evaluation.rejection import f1_area, f1_at_95, f1_curve, risks

Figures = dict[str, npt.NDArray[np.float64]]  # name -> [resamples]


class ErrorDetection:
    """PRR, R-AUC, AURC, truncated PRR, F1-AUC, F1@95, Spearman, Kendall, Pearson.

    O(resamples * n), Kendall's tau O(resamples * n log n).

    Units and directions are those of the functions of :mod:`ednd_nmt.evaluation.rejection` and
    :mod:`ednd_nmt.evaluation.correlation`.

    Args:
        error: ``[n]``, larger = worse.
        uncertainty: ``[n]``, larger = less sure.
        acceptable_error: threshold of the F1 figures; the Shifts challenge took 60 for ``100 - GLEU``.
        max_rejection: share of the sentences that the truncated PRR rejects at most.

    Raises:
        UserError: lengths differ, no sentence, NaN or infinity.
    """

    def __init__(
        self,
        error: npt.ArrayLike,
        uncertainty: npt.ArrayLike,
        acceptable_error: float = 60.0,
        max_rejection: float = 0.5,
    ) -> None:
        self._error, self._uncertainty = paired_vectors(error, uncertainty)
        self._acceptable = (self._error <= acceptable_error).astype(np.float64)
        self._steps = max(int(max_rejection * self._error.size), 1)
        self._by_error, self._by_uncertainty = Ordering(self._error), Ordering(self._uncertainty)
        self._kendall = KendallTau(self._error, self._uncertainty)

    def __call__(self, counts: Counts) -> Figures:
        """Every figure for every row of ``counts`` ``[resamples, n]``; each row must have the total n."""
        n = self._error.size
        sums = self._by_uncertainty.retained_sums(self._error, counts)
        oracle = self._by_error.retained_sums(self._error, counts)
        area, random, best = sums.mean(axis=-1) / n, sums[:, -1] / (2 * n), oracle.mean(axis=-1) / n
        risk = risks(sums)
        truncated = risk[:, -self._steps :].mean(axis=-1)
        best_truncated = risks(oracle)[:, -self._steps :].mean(axis=-1)
        f1 = f1_curve(self._by_uncertainty.retained_sums(self._acceptable, counts))
        return {
            "PRR": 100.0 * self._share(area - random, best - random),
            "R-AUC": area,
            "AURC": risk.mean(axis=-1),
            "truncated PRR": self._share(truncated - 2 * random, best_truncated - 2 * random),
            "F1-AUC": f1_area(f1),
            "F1@95": f1_at_95(f1),
            "Spearman": _correlation(
                self._by_error.ranks(counts), self._by_uncertainty.ranks(counts), counts
            ),
            "Kendall": self._kendall(counts),
            "Pearson": _correlation(self._error, self._uncertainty, counts),
        }

    def _share(self, gain: Vector, best: Vector) -> Vector:
        # When all errors are equal both are zero but for rounding, whose ratio would be noise.
        defined = np.abs(best) > 1e-12 * np.abs(self._error).max()
        return np.divide(gain, best, out=np.full_like(best, np.nan), where=defined)


class ShiftDetection:
    """ROC-AUC, AUPR and FPR@95 in percent of one uncertainty, the shifted set being the positive class.

    Sentences drawn twice raise the AUPR of a resample a little: where an uncertainty detects worse than chance, its
    95 % interval holds the truth in about 91 % of the cases (300 sentences each, by simulation).

    Args:
        in_domain: uncertainties ``[n]``.
        shifted: uncertainties ``[m]``.
    """

    def __init__(self, in_domain: Vector, shifted: Vector) -> None:
        self._in_domain = in_domain.size
        self._size = in_domain.size + shifted.size
        self._ordering = Ordering(-np.concatenate([in_domain, shifted]))

    def __call__(self, in_domain_counts: Counts, shifted_counts: Counts) -> Figures:
        """Every figure for every pair of rows of ``[resamples, n]`` and ``[resamples, m]`` counts."""
        false_positives = self._rate(in_domain_counts, slice(None, self._in_domain))
        true_positives = self._rate(shifted_counts, slice(self._in_domain, None))
        false_steps = np.diff(false_positives, axis=-1, prepend=0.0)
        true_steps = np.diff(true_positives, axis=-1, prepend=0.0)
        positives, negatives = shifted_counts.sum(axis=-1), in_domain_counts.sum(axis=-1)
        hits = true_positives * positives[:, None]
        flagged = hits + false_positives * negatives[:, None]
        # A first group that the resample did not draw has nothing flagged, and no step of recall either.
        precision = np.divide(hits, flagged, out=np.zeros_like(hits), where=flagged > 0)
        caught = np.argmax(true_positives >= 0.95, axis=-1)
        return {
            "ROC-AUC": 100.0 * (false_steps * (true_positives - true_steps / 2)).sum(axis=-1),
            "AUPR": 100.0 * (true_steps * precision).sum(axis=-1),
            "FPR@95": 100.0 * np.take_along_axis(false_positives, caught[:, None], axis=-1)[:, 0],
        }

    def _rate(self, counts: Counts, part: slice) -> npt.NDArray[np.float64]:
        """Share of one set flagged when the 1, 2, ... most uncertain groups are: ``[resamples, groups]``."""
        everything = np.zeros((counts.shape[0], self._size))
        everything[:, part] = counts
        flagged = np.cumsum(self._ordering.group_sums(everything), axis=-1)
        total = flagged[:, -1:]
        return np.divide(flagged, total, out=np.full_like(flagged, np.nan), where=total > 0)


class CorpusQuality:
    """A corpus score recomputed from the sentences' sufficient statistics.

    Args:
        metric: a metric of :mod:`ednd_nmt.evaluation.quality`.
        statistics: ``[n, k]``, as ``metric.statistics`` returns them.
    """

    def __init__(self, metric: SacreBleuMetric, statistics: npt.NDArray[np.float64]) -> None:
        self._metric, self._statistics = metric, statistics

    def __call__(self, counts: Counts) -> Figures:
        sums = counts @ self._statistics
        return {self._metric.name: np.array([self._metric.score(row.tolist()) for row in sums])}


CALIBRATION_FIGURES = ("ECE", "Brier")


class CalibrationQuality:
    """Expected calibration error in percent and Brier score of one ``p_bad``; see :mod:`ednd_nmt.evaluation.calibration`.

    The calibration error of a resample is on average larger than that of the data: its bins are noisier still.

    Args:
        probability: ``[n]`` in [0, 1].
        bad: ``[n]``, 1 = bad.
    """

    def __init__(self, probability: npt.ArrayLike, bad: npt.ArrayLike) -> None:
        probability, bad = paired_vectors(probability, bad, ("p_bad", "the outcome"))
        self._squares = (probability - bad) ** 2
        self._gaps = np.zeros(
            (probability.size, RELIABILITY_BINS)
        )  # each sentence's in the column of its bin
        self._gaps[np.arange(probability.size), reliability_bin(probability)] = probability - bad

    def __call__(self, counts: Counts) -> Figures:
        """Both figures for every row of ``counts`` ``[resamples, n]``."""
        total = counts.sum(axis=-1)
        error = 100.0 * np.abs(counts @ self._gaps).sum(axis=-1) / total
        return dict(zip(CALIBRATION_FIGURES, (error, counts @ self._squares / total), strict=True))


def _correlation(first: Vector, second: Vector, counts: Counts) -> Vector:
    """Pearson's r of two variables ``[n]`` or ``[resamples, n]`` in every resample."""
    total = counts.sum(axis=-1, keepdims=True)
    centred = [v - (counts * v).sum(axis=-1, keepdims=True) / total for v in (first, second)]
    covariance, a, b = (
        np.einsum("rn,rn,rn->r", counts, centred[i], centred[j]) for i, j in ((0, 1), (0, 0), (1, 1))
    )
    scale = np.sqrt(a * b)
    # What rounding leaves of the variance of a constant is none.
    a_least, b_least = (
        1e-24 * np.einsum("rn,rn->r", counts, np.broadcast_to(v, counts.shape) ** 2) for v in (first, second)
    )
    return np.divide(covariance, scale, out=np.full_like(scale, np.nan), where=(a > a_least) & (b > b_least))
