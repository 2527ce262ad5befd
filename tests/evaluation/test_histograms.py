"""Histograms over shared bins."""

from __future__ import annotations

import numpy as np
import pytest

from ednd_nmt.evaluation.histograms import BINS, CUT, histogram


def test_shares_are_those_of_a_count_by_hand_and_the_last_bin_holds_the_tail() -> None:
    generator = np.random.default_rng(0)
    in_domain, shifted = generator.gamma(2.0, size=400), generator.gamma(4.0, size=300)
    found = histogram(in_domain, shifted)
    both = np.concatenate([in_domain, shifted])
    assert (found.edges[0], found.edges[-1]) == (both.min(), pytest.approx(np.quantile(both, CUT)))
    for values, shares in ((in_domain, found.in_domain), (shifted, found.shifted)):
        for i in range(BINS):
            upper = np.inf if i == BINS - 1 else found.edges[i + 1]
            assert shares[i] == pytest.approx(np.mean((values >= found.edges[i]) & (values < upper)))


def test_one_value_only() -> None:
    found = histogram(np.ones(3), np.ones(2))
    assert (found.in_domain[0], found.shifted[0]) == (1.0, 1.0)
