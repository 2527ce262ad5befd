"""The Dirichlet distribution that stands in for an ensemble: its mean, and how sure the ensemble is of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from ednd_nmt.compiled import compilable
from ednd_nmt.ensemble import EnsembleStatistics
from ednd_nmt.errors import UserError
from ednd_nmt.rows import row_blocks, row_sum
from ednd_nmt.special import (
    SMALLEST_CONCENTRATION,
    digamma_remainder,
    shifted_reciprocal,
    trigamma_remainder,
)

Concentration = Literal["mkl", "epkl", "mle"]

MAXIMUM_PRECISION_PER_CLASS = 5e5
"""Precision never exceeds this times K - 1: an MKL of 1e-6 nats, what float32 can still tell from agreement."""

_NEWTON_STEPS = 5


@dataclass(frozen=True)
class ProxyTarget:
    """A target Dirichlet with concentrations ``precision * mean + offset``.

    Attributes:
        precision: beta0, [...].
        mean: pbar, the ensemble's mean distribution, [..., K].
    """

    precision: Tensor
    mean: Tensor

    def concentrations(self, offset: float = 1.0) -> Tensor:
        """beta_k = beta0 pbar_k + offset, [..., K]; made on request, since the objectives do not need it."""
        return self.mean * self.precision.unsqueeze(-1) + offset


@torch.no_grad()
def proxy_target(statistics: EnsembleStatistics, concentration: Concentration = "mkl") -> ProxyTarget:
    """The proxy Dirichlet target of an ensemble (arXiv 2105.06987).

    ==========  ========================================================================================
    ``"mkl"``   beta0 = (K - 1) / (2 MKL), by Stirling's approximation; the paper's
    ``"epkl"``  beta0 = (K - 1) / EPKL
    ``"mle"``   beta0 that maximises the likelihood of the members under Dir(beta0 pbar), exactly: the root of
                ``sum_k pbar_k h(beta0 pbar_k) - h(beta0) = MKL`` with h(x) = ln x - psi(x)
    ==========  ========================================================================================

    Members that agree have no finite precision: it is cut at ``MAXIMUM_PRECISION_PER_CLASS * (K - 1)``. Statistics that are
    NaN have a precision that is.

    Raises:
        UserError: an unknown ``concentration``.

    >>> from ednd_nmt.ensemble import ensemble_statistics
    >>> members = torch.tensor([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    >>> target = proxy_target(ensemble_statistics(members))
    >>> target.precision
    tensor(2.5801)
    >>> target.concentrations()
    tensor([2.1527, 2.1527, 1.2748])
    """
    classes = statistics.mean.shape[-1]
    maximum = MAXIMUM_PRECISION_PER_CLASS * max(1, classes - 1)
    if concentration == "mkl":
        precision = (classes - 1) / (2 * statistics.mkl)
    elif concentration == "epkl":
        precision = (classes - 1) / statistics.epkl
    elif concentration == "mle":
        precision = _maximum_likelihood_precision(statistics)
    else:
        raise UserError(
            f"Unknown target concentration {concentration!r}; choose one of "
            f"{', '.join(get_args(Concentration))}."
        )
    if classes == 1:  # 0 / 0: members always agree
        precision = torch.full_like(statistics.mkl, maximum)
    return ProxyTarget(precision=precision.clamp(max=maximum), mean=statistics.mean)


def _maximum_likelihood_precision(statistics: EnsembleStatistics) -> Tensor:
    """Newton's iteration for ln beta0.

    With H(x) = x h(x) the equation reads N(s) / s = MKL, N(s) = sum_k H(s pbar_k) - H(s). N falls from K - 1
    at s = 0 to (K - 1)/2 at infinity, so the ``mkl`` precision is the lower end of a bracket of width two,
    and five steps from there reach rounding.
    """
    flat = statistics.flatten()
    classes = flat.mean.shape[-1]
    ceiling = MAXIMUM_PRECISION_PER_CLASS * max(1, classes - 1)
    precision = torch.empty(len(flat.mkl), 1, dtype=torch.float64, device=flat.mean.device)
    for rows in row_blocks(flat.mean):
        mean = flat.mean[rows]
        mkl = flat.mkl[rows].double().unsqueeze(-1).clamp(min=(classes - 1) / (2 * ceiling))
        lower = (classes - 1) / (2 * mkl)
        s = lower.clone()
        for _ in range(_NEWTON_STEPS):
            remainders, slope = _remainders_and_slope(mean, s.to(mean.dtype))
            remainders -= digamma_remainder(s)  # N(s); slope is dN / d ln s
            slope -= digamma_remainder(s) - trigamma_remainder(s)
            step = torch.log(remainders / (s * mkl)) / (1 - slope / remainders)
            s = torch.minimum(torch.maximum(s * step.exp(), lower), 2 * lower)
        precision[rows] = s
    return precision.to(flat.mean.dtype).reshape(statistics.mkl.shape)


@compilable
def _remainders_and_slope(mean: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """sum_k H(s pbar_k) and its derivative by ln s, in float64 [rows, 1], for the means [rows, K] and s [rows, 1]."""
    x = (mean * s).clamp_(min=SMALLEST_CONCENTRATION)
    v = shifted_reciprocal(x)
    remainder = digamma_remainder(x, v=v)
    return row_sum(remainder), row_sum(remainder - trigamma_remainder(x, v=v))
