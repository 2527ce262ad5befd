"""Reverse KL divergence to the proxy Dirichlet, the objective of arXiv 2105.06987."""

from __future__ import annotations

from functools import partial
from typing import Literal, get_args

from torch import Tensor

from ednd_nmt.compiled import compilable, computed_once
from ednd_nmt.dirichlet import (
    concentrations,
    exponentials_and_precision,
    log_mean_probability,
    mean_scale,
)
from ednd_nmt.ensemble import EnsembleStatistics
from ednd_nmt.errors import UserError, require_not_negative
from ednd_nmt.objectives.core import BlockResult, Evaluation, closed_form_loss, evaluate_by_rows
from ednd_nmt.proxy import Concentration, proxy_target
from ednd_nmt.rows import row_sum
from ednd_nmt.special import (
    HALF_LOG_TWO_PI,
    all_remainders,
    digamma_remainder,
    lgamma_exact,
    lgamma_remainder,
    shifted_reciprocal,
    trigamma_remainder,
)

PriorWeight = Literal["paper", "released"]


def reverse_kl_loss(
    logits: Tensor,
    statistics: EnsembleStatistics,
    offset: float = 1.0,
    concentration: Concentration = "mkl",
    prior_weight: PriorWeight = "paper",
    target_offset: float = 1.0,
) -> Tensor:
    """KL(Dir(alpha) || Dir(beta)) / beta0 up to a constant (arXiv 2105.06987), per token, in nats.

    With alpha = exp(logits) + offset, beta = beta0 pbar + target_offset and the prior Dir(1) (in general
    Dir(target_offset))::

        - sum_k pbar_k (psi(alpha_k) - psi(alpha0)) + KL(Dir(alpha) || prior) / beta0

    The gradient is 0 exactly where exp(logits) = beta0 pbar, if both offsets are equal. It is computed in
    closed form with the loss, and nothing else that is as large as the vocabulary is kept.

    Args:
        logits: the student's, [..., K], any floating dtype. Arithmetic is in float32 (float64 for float64
            logits), sums over K are in float64, and the gradient comes back in the logits' dtype.
        statistics: the ensemble's, for the same tokens.
        offset: >= 0, belongs to the student's parametrisation.
        concentration: how the target precision beta0 is found, see ``ednd_nmt.proxy.proxy_target``.
        prior_weight: "paper" weighs the prior by 1/beta0. "released" weighs it by 1/(beta0 + K
            target_offset), as the paper's code does, so that the student tends to the larger precision.
        target_offset: >= 0, added to the target's concentrations.

    Returns:
        Loss per token [...], differentiable once in the logits; in float32 (float64 for float64 logits).

    Raises:
        UserError: an unknown option, an offset below 0, or statistics of another shape than the logits.

    >>> import torch
    >>> from ednd_nmt.ensemble import ensemble_statistics
    >>> statistics = ensemble_statistics([torch.tensor([[3.0, 0.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]])])
    >>> logits = torch.zeros(1, 3, requires_grad=True)
    >>> loss = reverse_kl_loss(logits, statistics)
    >>> loss.sum().backward()
    >>> logits.grad[0, 0] < 0
    tensor(True)
    """
    objective = partial(
        reverse_kl_value_and_gradient,
        offset=offset,
        concentration=concentration,
        prior_weight=prior_weight,
        target_offset=target_offset,
    )
    return closed_form_loss(logits, statistics, objective)


def reverse_kl_value_and_gradient(
    logits: Tensor,
    statistics: EnsembleStatistics,
    *,
    offset: float = 1.0,
    concentration: Concentration = "mkl",
    prior_weight: PriorWeight = "paper",
    target_offset: float = 1.0,
    gradient: bool = True,
    into: Tensor | None = None,
) -> Evaluation:
    """Values and gradient of ``reverse_kl_loss``, see ``ednd_nmt.objectives.core.Objective``."""
    if prior_weight not in get_args(PriorWeight):
        raise UserError(
            f"Unknown prior weight {prior_weight!r}; choose one of {', '.join(get_args(PriorWeight))}."
        )
    require_not_negative(offset=offset, target_offset=target_offset)
    precision = proxy_target(statistics, concentration).precision
    classes, weight = logits.shape[-1], precision.double().unsqueeze(-1)
    if prior_weight == "released":
        weight = weight + classes * target_offset
    of_prior = classes * lgamma_exact(target_offset) - lgamma_exact(classes * target_offset)

    def evaluate_block(z: Tensor, rows: slice) -> BlockResult:
        inverse_weight = weight[rows].reciprocal()
        mean = statistics.mean[rows].to(z.dtype)
        result = _evaluate_block(z, mean, inverse_weight, offset, target_offset, gradient)
        return result._replace(loss=result.loss + of_prior * inverse_weight)

    return evaluate_by_rows(logits, evaluate_block, gradient=gradient, into=into, target_precision=precision)


@compilable
def _evaluate_block(
    z: Tensor, mean: Tensor, inverse_weight: Tensor, offset: float, target_offset: float, gradient: bool
) -> BlockResult:
    """One block [rows, K] but for the prior's constant; ``inverse_weight`` [rows, 1] in float64 weighs the prior.

    With H, Q and r the remainders of ``ednd_nmt.special``, u = 1/alpha, t = target_offset, w =
    1/inverse_weight and B = (1 - t u)/w - u pbar, the terms that grow with alpha cancel on paper and leave::

        loss = sum_k [ -ln(alpha_k / alpha0) (pbar_k + (t - 1/2)/w) - H_k B_k - r_k / w ] + terms of the row
        dloss/dz_k = e_k [ psi1(alpha0) + u0 (K t - Q0 (1 - K t u0))/w ] - e_k u_k [ pbar_k + t/w - Q_k B_k ]
    """
    classes, t, below_one = z.shape[-1], target_offset, offset < 1
    e, alpha0 = exponentials_and_precision(z, offset)
    scale, u0 = mean_scale(z, alpha0, offset), alpha0.reciprocal()
    h0, q0, r0 = all_remainders(alpha0)
    w = computed_once(inverse_weight.to(z.dtype))

    alpha = concentrations(e, offset)
    u, v = alpha.reciprocal(), shifted_reciprocal(alpha)
    share = e * u
    bracket = ((share if t == offset else 1 - t * u) * w).sub_(u * mean)
    h = digamma_remainder(alpha, below_one, v)
    terms = log_mean_probability(z, alpha, scale, offset).mul_(mean + (t - 0.5) * w)
    terms.add_(h * bracket).add_(lgamma_remainder(alpha, below_one, v, u).mul_(w))
    mkl = (row_sum(h) - h0) * u0
    prior = 0.5 * (classes - 1) * alpha0.log() - classes * t * h0 * u0 + h0 + r0
    prior = prior + (1 - classes) * HALF_LOG_TWO_PI
    loss = prior * inverse_weight - h0 * u0 - row_sum(terms)
    loss = loss - scale.rest * (1 + classes * (t - 0.5) * inverse_weight)
    if not gradient:
        return BlockResult(loss, None, alpha0, mkl)
    of_total = u0 * (1 + q0 * u0) + u0 * (classes * t - q0 * (1 - classes * t * u0)) * inverse_weight
    pull = bracket.mul_(trigamma_remainder(alpha, below_one, v)).sub_(mean).sub_(t * w).mul_(share)
    return BlockResult(loss, pull.add_(e * computed_once(of_total.to(z.dtype))), alpha0, mkl)
