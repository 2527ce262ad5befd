"""Forward KL divergence from the proxy Dirichlet to the student (arXiv 2105.06987)."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from ednd_nmt.compiled import compilable, computed_once
from ednd_nmt.dirichlet import concentrations, exponentials_and_precision
from ednd_nmt.ensemble import EnsembleStatistics
from ednd_nmt.errors import require_not_negative
from ednd_nmt.objectives.core import BlockResult, Evaluation, closed_form_loss, evaluate_by_rows
from ednd_nmt.proxy import Concentration, proxy_target
from ednd_nmt.rows import row_sum
from ednd_nmt.special import (
    SMALLEST_CONCENTRATION,
    all_remainders,
    digamma_remainder,
    lgamma_remainder,
    shifted_reciprocal,
)


def forward_kl_loss(
    logits: Tensor,
    statistics: EnsembleStatistics,
    offset: float = 1.0,
    concentration: Concentration = "mkl",
    target_offset: float = 1.0,
) -> Tensor:
    """KL(Dir(beta) || Dir(alpha)) with beta = beta0 pbar + target_offset (arXiv 2105.06987), per token.

    In nats. Its value and gradient grow with the precisions; ``ednd_nmt.objectives.reverse_kl`` does not have
    this defect.

    Args:
        logits: the student's, [..., K], any floating dtype; alpha = exp(logits) + offset. Arithmetic is in
            float32 (float64 for float64 logits), sums over K are in float64, and the gradient comes back in
            the logits' dtype.
        statistics: the ensemble's, for the same tokens.
        offset: >= 0, belongs to the student's parametrisation.
        concentration: how the target precision beta0 is found, see ``ednd_nmt.proxy.proxy_target``.
        target_offset: >= 0, added to the target's concentrations.

    Returns:
        Loss per token [...], differentiable once in the logits; in float32 (float64 for float64 logits). In
        float32 it is off by up to 1e-6 of itself and 2^-22 alpha0: it is the small rest of a sum of alpha_k times
        logarithms, each of which is rounded.

    Raises:
        UserError: an unknown option, an offset below 0, or statistics of another shape than the logits.

    >>> from ednd_nmt.ensemble import ensemble_statistics
    >>> statistics = ensemble_statistics([torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]])])
    >>> target = proxy_target(statistics)
    >>> at_target = (target.mean * target.precision.unsqueeze(-1)).log()
    >>> forward_kl_loss(at_target, statistics).abs() < 1e-6
    tensor([True])
    """
    objective = partial(
        forward_kl_value_and_gradient, offset=offset, concentration=concentration, target_offset=target_offset
    )
    return closed_form_loss(logits, statistics, objective)


def forward_kl_value_and_gradient(
    logits: Tensor,
    statistics: EnsembleStatistics,
    *,
    offset: float = 1.0,
    concentration: Concentration = "mkl",
    target_offset: float = 1.0,
    gradient: bool = True,
    into: Tensor | None = None,
) -> Evaluation:
    """Values and gradient of ``forward_kl_loss``, see ``ednd_nmt.objectives.core.Objective``."""
    require_not_negative(offset=offset, target_offset=target_offset)
    precision = proxy_target(statistics, concentration).precision

    def evaluate_block(z: Tensor, rows: slice) -> BlockResult:
        beta = statistics.mean[rows].to(z.dtype) * precision[rows].to(z.dtype).unsqueeze(-1)
        beta += target_offset
        return _evaluate_block(z, beta, offset, target_offset < 1, gradient)

    return evaluate_by_rows(logits, evaluate_block, gradient=gradient, into=into, target_precision=precision)


@compilable
def _evaluate_block(
    z: Tensor, beta: Tensor, offset: float, beta_below_one: bool, gradient: bool
) -> BlockResult:
    """One block [rows, K] with target concentrations ``beta``.

    With b0 = sum beta, the rescaled target g = beta alpha0 / b0, the difference d = g - alpha (which sums to
    0), q = ln(alpha / g) and the remainders H and r of ``ednd_nmt.special``, the terms of the size alpha0 ln
    alpha0 cancel on paper and leave::

        loss = sum_k [ d_k + (alpha_k - 1/2) q_k + (alpha_k - beta_k) H(beta_k)/beta_k ]
               + sum_k [ r(alpha_k) - r(beta_k) ] + (K - 1)/2 ln(b0 / alpha0)
               + (1 - alpha0 / b0) H(b0) + r(b0) - r(alpha0)
        dloss/dz_k = e_k [ q_k - H(alpha_k)/alpha_k + H(beta_k)/beta_k + H(alpha0)/alpha0 - H(b0)/b0 ]

    Near the target d + alpha q is a small difference of nearly equal numbers; through log1p(|d| / smaller) it
    keeps its precision.
    """
    classes, below_one = z.shape[-1], offset < 1
    e, alpha0 = exponentials_and_precision(z, offset)
    if beta_below_one:
        beta = beta.clamp(min=SMALLEST_CONCENTRATION)
    beta0 = computed_once(row_sum(beta))
    (h0, _, r0), (h_beta0, _, r_beta0) = all_remainders(alpha0), all_remainders(beta0)

    alpha = concentrations(e, offset)
    rescaled = beta * computed_once((alpha0 / beta0).to(z.dtype))
    difference = rescaled - alpha
    log_ratio = difference.abs().div_(torch.minimum(rescaled, alpha)).log1p_().copysign_(difference).neg_()
    v, beta_v = shifted_reciprocal(alpha), shifted_reciprocal(beta)
    h = digamma_remainder(alpha, below_one, v)
    beta_gap = digamma_remainder(beta, beta_below_one, beta_v).div_(beta)
    terms = difference.add_((alpha - 0.5) * log_ratio).add_((alpha - beta) * beta_gap)
    terms.add_(lgamma_remainder(alpha, below_one, v)).sub_(lgamma_remainder(beta, beta_below_one, beta_v))
    mkl = (row_sum(h) - h0) / alpha0
    loss = row_sum(terms) + 0.5 * (classes - 1) * (beta0 / alpha0).log() + (1 - alpha0 / beta0) * h_beta0
    loss = loss + r_beta0 - r0
    if not gradient:
        return BlockResult(loss, None, alpha0, mkl)
    of_totals = computed_once((h0 / alpha0 - h_beta0 / beta0).to(z.dtype))
    pull = log_ratio.sub_(h.div_(alpha)).add_(beta_gap).add_(of_totals)
    return BlockResult(loss, pull.mul_(e), alpha0, mkl)
