"""Detection of shifted input against pairwise loops from the definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import trapezoid

from ednd_nmt.errors import UserError
from ednd_nmt.evaluation import average_precision, false_positive_rate_at_95, roc_auc, roc_curve

GENERATOR = np.random.default_rng(0)
IN_DOMAIN = GENERATOR.integers(0, 12, size=60) / 4.0
SHIFTED = GENERATOR.integers(3, 16, size=45) / 4.0


def test_roc_auc_counts_the_pairs() -> None:
    wins = [(s > i) + 0.5 * (s == i) for s in SHIFTED for i in IN_DOMAIN]
    assert roc_auc(IN_DOMAIN, SHIFTED) == pytest.approx(100 * np.mean(wins), abs=1e-10)


def test_average_precision_sums_precision_over_the_steps_of_recall() -> None:
    area, recall = 0.0, 0.0
    for threshold in sorted(set(IN_DOMAIN) | set(SHIFTED), reverse=True):
        hits, alarms = np.sum(threshold <= SHIFTED), np.sum(threshold <= IN_DOMAIN)
        area += (hits / len(SHIFTED) - recall) * hits / (hits + alarms)
        recall = hits / len(SHIFTED)
    assert average_precision(IN_DOMAIN, SHIFTED) == pytest.approx(100 * area, abs=1e-10)


def test_fpr_at_95_is_the_smallest_that_catches_95_percent() -> None:
    thresholds = sorted(set(IN_DOMAIN) | set(SHIFTED))
    rates = [np.mean(t <= IN_DOMAIN) for t in thresholds if np.mean(t <= SHIFTED) >= 0.95]
    assert false_positive_rate_at_95(IN_DOMAIN, SHIFTED) == pytest.approx(100 * min(rates), abs=1e-10)


def test_roc_curve_runs_from_corner_to_corner_and_has_the_area() -> None:
    false_positives, true_positives = roc_curve(IN_DOMAIN, SHIFTED)
    assert (false_positives[0], true_positives[0]) == (0, 0)
    assert (false_positives[-1], true_positives[-1]) == (1, 1)
    area = trapezoid(true_positives, false_positives)
    assert roc_auc(IN_DOMAIN, SHIFTED) == pytest.approx(100 * area, abs=1e-10)


def test_separable_sets_and_equal_sets() -> None:
    assert roc_auc([1, 2], [3]) == 100
    assert roc_auc([1, 2], [1, 2]) == 50
    assert false_positive_rate_at_95([1, 2], [3]) == 0


def test_faulty_input_is_one_clear_sentence() -> None:
    with pytest.raises(UserError, match="shifted set has no values"):
        roc_auc([1.0], [])
    with pytest.raises(UserError, match="in-domain set holds nan at position 0"):
        average_precision([float("nan")], [1.0])
