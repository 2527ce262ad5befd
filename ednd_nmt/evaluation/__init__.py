"""Evaluation of uncertainties: error detection, detection of shifted input, quality, intervals and reports.

Needs neither fairseq nor torch.
"""

from ednd_nmt.evaluation.aggregation import hypothesis_weights, sentence_measures
from ednd_nmt.evaluation.bootstrap import Interval, interval, paired_p_value
from ednd_nmt.evaluation.calibration import (
    Calibration,
    expected_calibration_error,
    fit_calibration,
    read_calibration,
)
from ednd_nmt.evaluation.correlation import kendall, pearson, spearman
from ednd_nmt.evaluation.detection import average_precision, false_positive_rate_at_95, roc_auc, roc_curve
from ednd_nmt.evaluation.rejection import (
    F1Retention,
    RejectionCurve,
    area_under_risk_coverage,
    error_retention_area,
    f1_retention,
    prediction_rejection_ratio,
    rejection_curve,
    truncated_prediction_rejection_ratio,
)
from ednd_nmt.evaluation.score import Score, Signature

__all__ = [
    "Calibration",
    "F1Retention",
    "Interval",
    "RejectionCurve",
    "Score",
    "Signature",
    "area_under_risk_coverage",
    "average_precision",
    "error_retention_area",
    "expected_calibration_error",
    "f1_retention",
    "false_positive_rate_at_95",
    "fit_calibration",
    "hypothesis_weights",
    "interval",
    "kendall",
    "paired_p_value",
    "pearson",
    "prediction_rejection_ratio",
    "read_calibration",
    "rejection_curve",
    "roc_auc",
    "roc_curve",
    "sentence_measures",
    "spearman",
    "truncated_prediction_rejection_ratio",
]
