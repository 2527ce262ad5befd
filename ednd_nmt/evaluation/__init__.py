"""Evaluation of uncertainties: error detection, detection of shifted input, quality, intervals and reports.

Needs neither fairseq nor torch.
"""

from ednd_nmt.evaluation.aggregation import hypothesis_weights, sentence_measures
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

__all__ = [
    "F1Retention",
    "RejectionCurve",
    "area_under_risk_coverage",
    "average_precision",
    "error_retention_area",
    "f1_retention",
    "false_positive_rate_at_95",
    "hypothesis_weights",
    "kendall",
    "pearson",
    "prediction_rejection_ratio",
    "rejection_curve",
    "roc_auc",
    "roc_curve",
    "sentence_measures",
    "spearman",
    "truncated_prediction_rejection_ratio",
]
