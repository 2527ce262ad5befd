"""Correlations against their definitions on small data with ties."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from ednd_nmt.errors import UserError
from ednd_nmt.evaluation import kendall, pearson, spearman

ERROR, UNCERTAINTY = np.random.default_rng(0).integers(0, 9, size=(2, 50)).astype(float)


def mean_ranks(values: np.ndarray) -> np.ndarray:
    return np.array([np.sum(values < value) + (np.sum(values == value) + 1) / 2 for value in values])


def test_pearson_and_spearman() -> None:
    assert pearson(ERROR, UNCERTAINTY) == pytest.approx(np.corrcoef(ERROR, UNCERTAINTY)[0, 1], abs=1e-12)
    ranks = np.corrcoef(mean_ranks(ERROR), mean_ranks(UNCERTAINTY))[0, 1]
    assert spearman(ERROR, UNCERTAINTY) == pytest.approx(ranks, abs=1e-12)


def test_kendall_is_tau_b() -> None:
    pairs = list(itertools.combinations(range(50), 2))
    signs = [(np.sign(ERROR[i] - ERROR[j]), np.sign(UNCERTAINTY[i] - UNCERTAINTY[j])) for i, j in pairs]
    agreement = sum(a * b for a, b in signs)
    untied = [sum(s[side] != 0 for s in signs) for side in (0, 1)]
    assert kendall(ERROR, UNCERTAINTY) == pytest.approx(agreement / np.sqrt(untied[0] * untied[1]), abs=1e-12)


@pytest.mark.parametrize("correlation", [spearman, kendall, pearson])
def test_a_constant_has_no_correlation(correlation: Callable[..., float]) -> None:
    assert correlation([1, 2, 3], [10, 20, 30]) == pytest.approx(1)
    with pytest.raises(UserError, match="uncertainty has the same value"):
        correlation([1, 2, 3], [2, 2, 2])
    with pytest.raises(UserError, match="error has 3 values but uncertainty has 2"):
        correlation([1, 2, 3], [2, 2])
