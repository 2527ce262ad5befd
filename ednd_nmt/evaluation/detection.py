"""Detection of shifted input: can an uncertainty tell the sentences of a shifted set from in-domain ones?

The shifted set is the positive class, larger uncertainty the higher score. All figures are in percent, as in
arXiv 2105.06987, and come from scikit-learn.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ednd_nmt.evaluation.arrays import Vector, finite_vector


def roc_auc(in_domain: npt.ArrayLike, shifted: npt.ArrayLike) -> float:
    """Area under the ROC curve in percent: how often the shifted one of a pair is less sure; 50 = chance.

    Args:
        in_domain: uncertainties ``[n]`` of the in-domain test.
        shifted: uncertainties ``[m]`` of the shifted set.

    Raises:
        UserError: an empty set, NaN or infinity.
    """
    from sklearn.metrics import roc_auc_score

    return 100.0 * float(roc_auc_score(*_labelled(in_domain, shifted)))


def average_precision(in_domain: npt.ArrayLike, shifted: npt.ArrayLike) -> float:
    """AUPR in percent as average precision, no interpolation; a random order scores 100 m / (n + m)."""
    from sklearn.metrics import average_precision_score

    return 100.0 * float(average_precision_score(*_labelled(in_domain, shifted)))


def false_positive_rate_at_95(in_domain: npt.ArrayLike, shifted: npt.ArrayLike) -> float:
    """FPR@95TPR in percent: in-domain sentences flagged when 95 % of shifted ones are; smaller = better."""
    false_positives, true_positives, _ = _roc(in_domain, shifted)
    return 100.0 * float(false_positives[np.argmax(true_positives >= 0.95)])


def roc_curve(in_domain: npt.ArrayLike, shifted: npt.ArrayLike) -> tuple[Vector, Vector]:
    """False and true positive rates (0 to 1), one point per distinct uncertainty."""
    false_positives, true_positives, _ = _roc(in_domain, shifted)
    return false_positives, true_positives


def _roc(in_domain: npt.ArrayLike, shifted: npt.ArrayLike) -> tuple[Vector, Vector, Vector]:
    from sklearn.metrics import roc_curve as sklearn_roc_curve

    curve: tuple[Vector, Vector, Vector] = sklearn_roc_curve(
        *_labelled(in_domain, shifted), drop_intermediate=False
    )
    return curve


def _labelled(in_domain: npt.ArrayLike, shifted: npt.ArrayLike) -> tuple[Vector, Vector]:
    negative = finite_vector(in_domain, "the uncertainty of the in-domain set")
    positive = finite_vector(shifted, "the uncertainty of the shifted set")
    return np.repeat([0.0, 1.0], [negative.size, positive.size]), np.concatenate([negative, positive])
