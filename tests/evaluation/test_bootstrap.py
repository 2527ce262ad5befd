"""Draws, intervals and p-values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ednd_nmt.evaluation import prediction_rejection_ratio
from ednd_nmt.evaluation.bootstrap import (
    Interval,
    bootstrap,
    interval,
    paired_p_value,
    point,
    resample_counts,
)
from ednd_nmt.evaluation.resampling import CalibrationQuality, ErrorDetection, ShiftDetection


def all_counts(sizes: list[int], resamples: int, seed: int = 1) -> list[np.ndarray]:
    return [np.vstack(chunks) for chunks in zip(*resample_counts(sizes, resamples, seed), strict=True)]


def test_every_resample_draws_as_many_sentences_as_there_are() -> None:
    counts = all_counts([7, 30], 500)
    assert [c.shape for c in counts] == [(500, 7), (500, 30)]
    for size, drawn in zip((7, 30), counts, strict=True):
        assert (drawn.sum(axis=1) == size).all()
        np.testing.assert_allclose(drawn.mean(axis=0), 1.0, atol=0.2)
        # A count is binomial(n, 1/n): variance 1 - 1/n.
        assert drawn.var() == pytest.approx(1 - 1 / size, rel=0.1)


def test_draws_depend_on_size_seed_and_place_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The in-domain draws are the same whatever the shifted set, and however many fit in memory at a time."""
    alone, beside = all_counts([50], 40)[0], all_counts([50, 9], 40)[0]
    np.testing.assert_array_equal(alone, beside)
    monkeypatch.setattr("ednd_nmt.evaluation.bootstrap._CHUNK", 130)
    np.testing.assert_array_equal(alone, all_counts([50], 40)[0])
    assert (alone != all_counts([50], 40, seed=2)[0]).any()


def test_interval_is_the_central_95_percent() -> None:
    values = np.arange(1001.0)
    found = interval(values)
    assert found is not None
    assert (found.mean, found.low, found.high) == pytest.approx((500, 25, 975))
    assert interval(np.append(values, np.nan)) == interval(values)
    assert interval(np.array([np.nan])) is None
    assert Interval(0.0, -1.0, 3.0).half_width == 2.0


def test_point_is_the_figure_of_the_data() -> None:
    error, uncertainty = np.random.default_rng(0).gamma(2.0, size=(2, 50))
    figures = point(ErrorDetection(error, uncertainty), [50])
    assert figures["PRR"] == pytest.approx(prediction_rejection_ratio(error, uncertainty), abs=1e-10)


def test_a_better_uncertainty_has_a_small_p_value_and_an_equal_one_a_large() -> None:
    generator = np.random.default_rng(0)
    error, noise, other = generator.normal(size=(3, 400))
    good, bad, equal = (
        ErrorDetection(error, error + scale * n) for scale, n in ((0.7, noise), (2.0, noise), (0.7, other))
    )
    values = [point(s, [400])["PRR"] for s in (good, bad, equal)]
    draws = [bootstrap(s, [400])["PRR"] for s in (good, bad, equal)]
    assert paired_p_value(draws[0], draws[1], values[0] - values[1]) < 0.01
    assert paired_p_value(draws[0], draws[2], values[0] - values[2]) > 0.05
    assert paired_p_value(draws[0], draws[0], 0.0) == 1.0


def errors_and_uncertainties(generator: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Errors between 0 and 100, as those of translations are."""
    error = 100 * generator.beta(2.0, 2.0, size=n)
    return error, error / 20 + generator.gamma(2.0, size=n)


def in_domain_and_shifted(generator: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    return generator.gamma(2.0, size=n) + generator.gamma(2.0, size=n), generator.gamma(5.0, size=n)


def probabilities_and_outcomes(generator: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    probability = generator.beta(2.0, 3.0, size=n)
    return probability, (generator.random(n) < probability**2).astype(float)


@pytest.mark.slow(seconds=15)
@pytest.mark.parametrize(
    ("statistic", "simulated", "sets", "figures"),
    [
        (
            ErrorDetection,
            errors_and_uncertainties,
            1,
            ("PRR", "R-AUC", "AURC", "truncated PRR", "F1-AUC", "F1@95", "Spearman", "Kendall", "Pearson"),
        ),
        (ShiftDetection, in_domain_and_shifted, 2, ("ROC-AUC", "AUPR", "FPR@95")),
        (CalibrationQuality, probabilities_and_outcomes, 1, ("ECE", "Brier")),
    ],
    ids=["error detection", "shift detection", "calibration"],
)
def test_intervals_cover_the_truth(
    statistic: Callable[..., Any],
    simulated: Callable[..., tuple[np.ndarray, np.ndarray]],
    sets: int,
    figures: tuple[str, ...],
) -> None:
    """95 % intervals of 1000 simulated sets of 300 sentences hold the truth in 93 to 97 % of them."""
    n, simulations, resamples = 300, 1000, 250
    generator = np.random.default_rng(0)
    truth = point(statistic(*simulated(generator, 300_000)), [300_000] * sets)
    covered = dict.fromkeys(figures, 0)
    for seed in range(simulations):
        draws = bootstrap(statistic(*simulated(generator, n)), [n] * sets, resamples, seed)
        for name in figures:
            found = interval(draws[name])
            assert found is not None
            covered[name] += found.low <= truth[name] <= found.high
    shares = {name: count / simulations for name, count in covered.items()}
    outside = {name: share for name, share in shares.items() if not 0.93 <= share <= 0.97}
    assert not outside
