"""Correlation of an uncertainty with the error of the translation; 1 = perfect agreement (through SciPy)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ednd_nmt.errors import UserError
from ednd_nmt.evaluation.arrays import Vector, paired_vectors


def spearman(error: npt.ArrayLike, uncertainty: npt.ArrayLike) -> float:
    """Spearman's rho, ties with their mean rank. Raises :class:`UserError` when either side is constant."""
    from scipy.stats import spearmanr

    return float(spearmanr(*_varying(error, uncertainty)).statistic)


def kendall(error: npt.ArrayLike, uncertainty: npt.ArrayLike) -> float:
    """Kendall's tau-b, O(n log n). Raises :class:`UserError` when either side is constant."""
    from scipy.stats import kendalltau

    return float(kendalltau(*_varying(error, uncertainty)).statistic)


def pearson(error: npt.ArrayLike, uncertainty: npt.ArrayLike) -> float:
    """Pearson's r. Raises :class:`UserError` when either side is constant."""
    from scipy.stats import pearsonr

    return float(pearsonr(*_varying(error, uncertainty)).statistic)


def _varying(error: npt.ArrayLike, uncertainty: npt.ArrayLike) -> tuple[Vector, Vector]:
    vectors = paired_vectors(error, uncertainty)
    for name, vector in zip(("error", "uncertainty"), vectors, strict=True):
        if np.ptp(vector) == 0:
            raise UserError(f"No correlation is defined: {name} has the same value for every sentence.")
    return vectors
