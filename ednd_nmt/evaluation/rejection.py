r"""Error detection: how well an uncertainty finds the sentences with large errors.

Sentences are ordered by uncertainty and the most uncertain are rejected first. A rejected sentence is put
right by an oracle, so its error becomes zero. Several figures called "PRR" or "AUC" are in use; each has
its own name here:

================================================  ======  ==============================================
function                                          unit    source
================================================  ======  ==============================================
:func:`prediction_rejection_ratio`                %       PRR, arXiv 2002.07650; 2105.06987
:func:`error_retention_area`                      error   R-AUC, Shifts, arXiv 2107.07455
:func:`f1_retention`                              0 to 1  F1-AUC and F1@95, Shifts, arXiv 2107.07455
:func:`area_under_risk_coverage`                  error   AURC, arXiv 1705.08500
:func:`truncated_prediction_rejection_ratio`      0 to 1  "PRR" of LM-Polygraph, arXiv 2406.15627
================================================  ======  ==============================================

All are O(n log n), take any real errors (larger = worse) and uncertainties (larger = less sure), and treat
sentences with equal uncertainty as one group that shares its mean error, so that no figure depends on the
order of the input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ednd_nmt.errors import UserError
from ednd_nmt.evaluation.arrays import Vector, paired_vectors
from ednd_nmt.evaluation.ordering import Ordering

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RejectionCurve:
    """Mean error left after rejecting the 0, 1, ..., n most uncertain sentences; n + 1 points each."""

    rejected: Vector  # share of the sentences that is rejected, 0 to 1
    curve: Vector  # ordered by the uncertainty
    random: Vector  # expectation over random orders
    oracle: Vector  # ordered by the error itself

    @property
    def area(self) -> float:
        """Mean over the n + 1 points of ``curve``."""
        return float(self.curve.mean())

    @property
    def random_area(self) -> float:
        return float(self.random.mean())

    @property
    def oracle_area(self) -> float:
        return float(self.oracle.mean())


@dataclass(frozen=True)
class F1Retention:
    """F1 of "is the sentence acceptable?" when the j least uncertain sentences are kept, j = 0, ..., n."""

    curve: Vector
    area: float  # F1-AUC, 0 to 1
    at_95: float  # F1@95, 0 to 1


def rejection_curve(error: npt.ArrayLike, uncertainty: npt.ArrayLike) -> RejectionCurve:
    """The rejection curve with its two references, endpoints included.

    Point i is ``(1/n) * (sum of the errors of the n - i least uncertain sentences)``.

    Args:
        error: ``[n]``, larger = worse.
        uncertainty: ``[n]``, larger = less sure.

    Raises:
        UserError: lengths differ, no sentence, NaN or infinity.
    """
    error, uncertainty = paired_vectors(error, uncertainty)
    n = error.size
    rejected = np.arange(n + 1) / n
    return RejectionCurve(
        rejected=rejected,
        curve=Ordering(uncertainty).retained_sums(error)[::-1] / n,
        random=error.mean() * (1.0 - rejected),
        oracle=Ordering(error).retained_sums(error)[::-1] / n,
    )


def prediction_rejection_ratio(error: npt.ArrayLike, uncertainty: npt.ArrayLike) -> float:
    """PRR in percent: 100 is the order of the errors, 0 a random order, negative is worse than random.

    ``100 * (A(uncertainty) - A(random)) / (A(oracle) - A(random))`` with A the area under the rejection
    curve. The mean over the n + 1 points and the trapezoidal rule give the same ratio. (arXiv 2002.07650,
    section 5)

    Raises:
        UserError: as :func:`rejection_curve`, or all errors are equal, so that there is nothing to detect.
    """
    curves = rejection_curve(error, uncertainty)
    if _all_equal(error):
        raise UserError("PRR is not defined: all sentences have the same error, so every order is as good.")
    return 100.0 * (curves.area - curves.random_area) / (curves.oracle_area - curves.random_area)


def error_retention_area(error: npt.ArrayLike, uncertainty: npt.ArrayLike) -> float:
    """R-AUC in units of the error, smaller = better: area of the rejection curve (arXiv 2107.07455)."""
    return rejection_curve(error, uncertainty).area


def f1_retention(error: npt.ArrayLike, uncertainty: npt.ArrayLike, threshold: float) -> F1Retention:
    """F1-AUC and F1@95 of Shifts (arXiv 2107.07455), larger = better.

    A sentence is acceptable when ``error <= threshold``. Keeping the j least uncertain of n sentences, T_j
    of them acceptable, with P acceptable ones in all: ``F1_j = 2 T_j / (j + P)``, 0 where nothing is
    acceptable. As in the authors' code, the area is the trapezoid over ``j / (n + 1)`` and F1@95 is the
    point ``int(0.95 (n + 1))``.

    Raises:
        UserError: as :func:`rejection_curve`.
    """
    error, uncertainty = paired_vectors(error, uncertainty)
    acceptable = (error <= threshold).astype(np.float64)
    curve = f1_curve(Ordering(uncertainty).retained_sums(acceptable))
    return F1Retention(curve, float(f1_area(curve)), float(f1_at_95(curve)))


def area_under_risk_coverage(error: npt.ArrayLike, uncertainty: npt.ArrayLike) -> float:
    """AURC in units of the error, smaller = better: mean over j of the mean error of the j least uncertain.

    Rejected sentences leave the average instead of counting as perfect: not comparable with R-AUC or PRR.
    (arXiv 1705.08500; LM-Polygraph's ``rcc-auc``)
    """
    error, uncertainty = paired_vectors(error, uncertainty)
    return float(risks(Ordering(uncertainty).retained_sums(error)).mean())


def truncated_prediction_rejection_ratio(
    error: npt.ArrayLike, uncertainty: npt.ArrayLike, max_rejection: float = 0.5
) -> float:
    """LM-Polygraph's PRR, a fraction as printed there: 1 is the oracle, 0 random.

    Averages the quality of the retained sentences over the first ``int(max_rejection * n)`` rejections
    only, and is scaled between a random order (its expectation, the mean quality) and the oracle. Not
    comparable with
    :func:`prediction_rejection_ratio`. (arXiv 2406.15627)

    Raises:
        UserError: as :func:`rejection_curve`; ``max_rejection`` outside (0, 1] or holding fewer than two
            sentences; all errors equal.
    """
    error, uncertainty = paired_vectors(error, uncertainty)
    steps = int(max_rejection * error.size)
    if not 0.0 < max_rejection <= 1.0 or steps < 2:
        raise UserError(
            f"A maximum rejection of {max_rejection} of {error.size} sentences rejects fewer than two; "
            "give a share above 0 and up to 1 that holds at least two sentences."
        )
    if _all_equal(error):
        raise UserError("The truncated PRR is not defined: all sentences have the same error.")
    risk, best = (risks(Ordering(key).retained_sums(error))[-steps:].mean() for key in (uncertainty, error))
    return float((risk - error.mean()) / (best - error.mean()))


# The figures as functions of the retained sums [..., n + 1], shared with the bootstrap (see Ordering).


def risks(sums: Array) -> Array:
    """Mean errors ``[..., n]`` of the 1, ..., n least uncertain sentences."""
    return sums[..., 1:] / np.arange(1, sums.shape[-1])


def f1_curve(acceptable_sums: Array) -> Array:
    """F1 ``[..., n + 1]`` when 0, ..., n sentences are kept, from the sums of the acceptable ones."""
    denominator = np.arange(acceptable_sums.shape[-1]) + acceptable_sums[..., -1:]
    return np.divide(
        2 * acceptable_sums, denominator, out=np.zeros_like(acceptable_sums), where=denominator > 0
    )


def f1_area(curve: Array) -> Array:
    """Trapezoid over the grid ``j / (n + 1)``; the first point of the curve is zero."""
    return np.asarray((curve.sum(axis=-1) - curve[..., -1] / 2) / curve.shape[-1])


def f1_at_95(curve: Array) -> Array:
    return np.asarray(curve[..., int(0.95 * curve.shape[-1])])


def _all_equal(error: npt.ArrayLike) -> bool:
    return bool(np.ptp(np.asarray(error)) == 0)
