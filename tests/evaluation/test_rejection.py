"""Rejection figures against loops written from the definitions, and published golden numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import trapezoid

from ednd_nmt.errors import UserError
from ednd_nmt.evaluation import (
    area_under_risk_coverage,
    error_retention_area,
    f1_retention,
    prediction_rejection_ratio,
    rejection_curve,
    truncated_prediction_rejection_ratio,
)

PAIRS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=6)


def orders(uncertainty: list[int]) -> list[tuple[int, ...]]:
    """Every order from least to most uncertain: ties in all their arrangements."""
    indices = range(len(uncertainty))
    return [
        order
        for order in itertools.permutations(indices)
        if all(uncertainty[a] <= uncertainty[b] for a, b in itertools.pairwise(order))
    ]


def over_orders(uncertainty: list[int], value: Callable[[tuple[int, ...]], float]) -> float:
    """Mean of a figure over all arrangements of the ties: the definition of ties sharing their mean."""
    return float(np.mean([value(order) for order in orders(uncertainty)]))


def loop_curve(error: list[int], order: tuple[int, ...]) -> list[float]:
    n = len(error)
    return [sum(error[order[k]] for k in range(n - i)) / n for i in range(n + 1)]


# The assertions that the Shifts challenge published beside its code (arXiv 2107.07455).
def test_shifts_golden_areas() -> None:
    assert error_retention_area([2, 1], [1, 0]) == pytest.approx(2 / 3, abs=1e-15)
    assert error_retention_area(np.arange(5), [0, 0, 2, 1, 1]) == pytest.approx(0.8, abs=1e-15)
    error = np.random.default_rng(0).normal(size=100)
    assert error_retention_area(error, np.zeros(100)) == pytest.approx(error.mean() / 2, abs=1e-15)


@given(PAIRS)
@settings(deadline=None)
def test_every_curve_is_the_mean_over_all_arrangements_of_ties(pairs: list[tuple[int, int]]) -> None:
    error, uncertainty = (list(values) for values in zip(*pairs, strict=True))
    curves = rejection_curve(error, uncertainty)
    expected = np.mean([loop_curve(error, order) for order in orders(uncertainty)], axis=0)
    np.testing.assert_allclose(curves.curve, expected, atol=1e-12)
    np.testing.assert_allclose(curves.oracle, loop_curve(error, orders(error)[0]), atol=1e-12)
    everything = [loop_curve(error, order) for order in itertools.permutations(range(len(error)))]
    np.testing.assert_allclose(curves.random, np.mean(everything, axis=0), atol=1e-12)


def test_the_curves_are_those_of_a_plain_quadratic_loop() -> None:
    """By the definition: of a group of ties at the edge, each is kept with the same probability."""
    generator = np.random.default_rng(5)
    error, uncertainty = generator.gamma(2.0, size=150), generator.integers(0, 40, size=150)
    for key, found in (
        (uncertainty, rejection_curve(error, uncertainty).curve),
        (error, rejection_curve(error, uncertainty).oracle),
    ):
        for rejected in range(151):
            left = 0.0
            for k in range(150):
                surer, equal = np.sum(key < key[k]), np.sum(key == key[k])
                left += error[k] * min(max((150 - rejected - surer) / equal, 0), 1)
            assert found[rejected] == pytest.approx(left / 150, abs=1e-12)


@given(PAIRS, st.integers(-1, 5))
@settings(deadline=None)
def test_f1_is_the_mean_over_all_arrangements_of_ties(pairs: list[tuple[int, int]], threshold: int) -> None:
    error, uncertainty = (list(values) for values in zip(*pairs, strict=True))

    def f1(order: tuple[int, ...]) -> list[float]:
        curve = [0.0]
        for kept in range(1, len(error) + 1):
            hits = sum(error[i] <= threshold for i in order[:kept])
            missed = sum(error[i] <= threshold for i in order[kept:])
            curve.append(2 * hits / (2 * hits + (kept - hits) + missed))
        return curve

    expected = np.mean([f1(order) for order in orders(uncertainty)], axis=0)
    result = f1_retention(error, uncertainty, threshold)
    np.testing.assert_allclose(result.curve, expected, atol=1e-12)
    grid = np.arange(len(expected)) / len(expected)
    assert result.area == pytest.approx(trapezoid(expected, grid), abs=1e-12)
    assert result.at_95 == pytest.approx(expected[int(0.95 * len(expected))], abs=1e-12)


@given(PAIRS)
@settings(deadline=None)
def test_aurc_is_the_mean_over_all_arrangements_of_ties(pairs: list[tuple[int, int]]) -> None:
    error, uncertainty = (list(values) for values in zip(*pairs, strict=True))

    def risk(order: tuple[int, ...]) -> float:
        return float(np.mean([np.mean([error[i] for i in order[: j + 1]]) for j in range(len(order))]))

    expected = over_orders(uncertainty, risk)
    assert area_under_risk_coverage(error, uncertainty) == pytest.approx(expected, abs=1e-12)


def lm_polygraph_loop(error: np.ndarray, uncertainty: np.ndarray, max_rejection: float) -> float:
    """arXiv 2406.15627: the mean quality of what is kept, over the rejection steps; no ties."""
    quality = -error

    def raw(scores: np.ndarray) -> float:
        kept = list(np.argsort(scores))
        steps = []
        for _ in range(int(max_rejection * len(kept))):
            steps.append(np.mean([quality[i] for i in kept]))
            kept.pop()
        return float(np.mean(steps))

    random = quality.mean()
    return float((raw(uncertainty) - random) / (raw(-quality) - random))


@pytest.mark.parametrize("max_rejection", [0.3, 0.5, 1.0])
def test_truncated_prr_is_lm_polygraphs(max_rejection: float) -> None:
    generator = np.random.default_rng(1)
    error, noise = generator.gamma(2.0, size=(2, 41))
    uncertainty = error + noise
    expected = lm_polygraph_loop(error, uncertainty, max_rejection)
    value = truncated_prediction_rejection_ratio(error, uncertainty, max_rejection)
    assert value == pytest.approx(expected, abs=1e-12)


def test_prr_is_100_for_the_oracle_0_for_a_constant_and_minus_100_for_the_reverse() -> None:
    error = np.random.default_rng(2).integers(0, 10, size=500)
    assert prediction_rejection_ratio(error, np.exp(error)) == pytest.approx(100, abs=1e-10)
    assert prediction_rejection_ratio(error, np.ones(500)) == pytest.approx(0, abs=1e-10)
    assert prediction_rejection_ratio(error, -error) == pytest.approx(-100, abs=1e-10)


def test_prr_is_the_covariance_with_the_ranks_over_its_maximum() -> None:
    """An identity that the code does not use: PRR = cov(error, rank u) / cov(error, rank error)."""
    from scipy.stats import rankdata

    generator = np.random.default_rng(3)
    error = generator.integers(0, 6, size=200)
    uncertainty = generator.integers(0, 4, size=200) + error
    expected = np.cov(error, rankdata(uncertainty))[0, 1] / np.cov(error, rankdata(error))[0, 1]
    assert prediction_rejection_ratio(error, uncertainty) == pytest.approx(100 * expected, abs=1e-10)


def test_prr_does_not_depend_on_the_order_of_the_input_nor_on_the_rule_of_integration() -> None:
    generator = np.random.default_rng(4)
    error, uncertainty = generator.integers(0, 5, size=(2, 300)).astype(float)
    value = prediction_rejection_ratio(error, uncertainty)
    for _ in range(5):
        order = generator.permutation(300)
        assert prediction_rejection_ratio(error[order], uncertainty[order]) == pytest.approx(value, abs=1e-10)
    curves = rejection_curve(error, uncertainty)
    areas = [trapezoid(c, curves.rejected) for c in (curves.curve, curves.random, curves.oracle)]
    assert value == pytest.approx(100 * (areas[0] - areas[1]) / (areas[2] - areas[1]), abs=1e-10)


def test_one_sentence() -> None:
    curves = rejection_curve([3.0], [0.5])
    for curve in (curves.curve, curves.random, curves.oracle):
        assert curve.tolist() == [3.0, 0.0]
    assert area_under_risk_coverage([3.0], [0.5]) == 3.0
    with pytest.raises(UserError, match="all sentences have the same error"):
        prediction_rejection_ratio([3.0], [0.5])


def test_equal_errors_leave_nothing_to_detect() -> None:
    with pytest.raises(UserError, match="PRR is not defined: all sentences have the same error"):
        prediction_rejection_ratio([0.1] * 7, range(7))
    with pytest.raises(UserError, match="truncated PRR is not defined"):
        truncated_prediction_rejection_ratio([0.1] * 7, range(7))


@pytest.mark.parametrize(
    ("error", "uncertainty", "message"),
    [
        ([1, float("nan"), 2], [1, 2, 3], "error holds nan at position 1"),
        ([1, 2, 3], [1, 2, float("inf")], "uncertainty holds inf at position 2"),
        ([1, 2], [1, 2, 3], "error has 2 values but uncertainty has 3"),
        ([], [], "error has no values"),
        ([[1, 2]], [1, 2], r"error must be one value per sentence, not an array of shape \(1, 2\)"),
    ],
)
def test_faulty_input_is_one_clear_sentence(error: list, uncertainty: list, message: str) -> None:
    for function in (prediction_rejection_ratio, error_retention_area, area_under_risk_coverage):
        with pytest.raises(UserError, match=message):
            function(error, uncertainty)


def test_a_rejection_of_no_sentence_is_refused() -> None:
    with pytest.raises(UserError, match="rejects fewer than two"):
        truncated_prediction_rejection_ratio([1, 2, 3], [1, 2, 3], max_rejection=0.5)
