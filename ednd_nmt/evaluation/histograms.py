"""Histograms of an uncertainty in and out of domain, over the same bins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ednd_nmt.evaluation.arrays import Vector

BINS = 30
CUT = 0.99  # quantile of both sets together at which the drawing ends


@dataclass(frozen=True)
class Histogram:
    """Shares of the sentences per bin, adding up to 1 for each set."""

    edges: Vector  # [BINS + 1]
    in_domain: Vector  # [BINS]
    shifted: Vector


def histogram(in_domain: Vector, shifted: Vector) -> Histogram:
    """Bins of equal width; the uppermost one also holds the largest 1 % of all values."""
    both = np.concatenate([in_domain, shifted])
    low, high = float(both.min()), float(np.quantile(both, CUT))
    edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    shares = [np.histogram(np.minimum(v, edges[-1]), edges)[0] / v.size for v in (in_domain, shifted)]
    return Histogram(edges, shares[0], shares[1])
