"""Ensemble distribution distillation by maximum likelihood, the objective of arXiv 1905.00076."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from ednd_nmt.compiled import compilable, computed_once
from ednd_nmt.dirichlet import (
    concentrations,
    exponentials_and_precision,
    log_mean_probability,
    mean_scale,
)
from ednd_nmt.ensemble import EnsembleStatistics
from ednd_nmt.errors import require_not_negative, require_positive
from ednd_nmt.objectives.core import BlockResult, Evaluation, closed_form_loss, evaluate_by_rows
from ednd_nmt.rows import row_sum
from ednd_nmt.special import (
    HALF_LOG_TWO_PI,
    all_remainders,
    digamma_remainder,
    lgamma_remainder,
    shifted_reciprocal,
)


def dirichlet_likelihood_loss(
    logits: Tensor, statistics: EnsembleStatistics, offset: float = 1.0, temperature: float = 1.0
) -> Tensor:
    """Negative log-likelihood of the members under Dir(exp(logits / T) + offset), per token, in nats.

    EnDD of arXiv 1905.00076; for T = 1::

        sum_k lnGamma(alpha_k) - lnGamma(alpha0) - sum_k (alpha_k - 1) lbar_k

    Temperature annealing, as there: student and members are softened by the same T, which falls to 1 during
    training. The members' share of that is ``ensemble_statistics(member_logits, temperature=T)``, which the
    caller passes in. The loss is multiplied by T^2, as in the code of its authors (``DirichletEnDDLoss`` of
    KaosEngineer/PriorNetworks). For a categorical student this keeps the size of the gradient, which two
    divisions by T have made smaller (arXiv 1503.02531); for a Dirichlet it does so roughly.

    Args:
        logits: the student's, [..., K], any floating dtype. Arithmetic is in float32 (float64 for float64
            logits), sums over K are in float64, and the gradient comes back in the logits' dtype.
        statistics: the ensemble's, for the same tokens and at the same temperature.
        offset: >= 0, belongs to the student's parametrisation.
        temperature: T > 0.

    Returns:
        Loss per token [...] (of either sign: it is a density's), differentiable once in the logits; in
        float32 (float64 for float64 logits). In float32 it is off by up to 1e-6 of itself and 2^-22 T^2 alpha0: it
        is the small rest of a sum of alpha_k times logarithms, each of which is rounded.

    Raises:
        UserError: an offset below 0, or statistics of another shape than the logits.

    >>> import torch
    >>> from ednd_nmt.ensemble import ensemble_statistics
    >>> statistics = ensemble_statistics([torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]])])
    >>> dirichlet_likelihood_loss(torch.tensor([[1.0, 1.0]]), statistics)
    tensor([1.6144])
    """
    objective = partial(likelihood_value_and_gradient, offset=offset, temperature=temperature)
    return closed_form_loss(logits, statistics, objective)


def likelihood_value_and_gradient(
    logits: Tensor,
    statistics: EnsembleStatistics,
    *,
    offset: float = 1.0,
    temperature: float = 1.0,
    gradient: bool = True,
    into: Tensor | None = None,
) -> Evaluation:
    """Values and gradient of ``dirichlet_likelihood_loss``, see ``ednd_nmt.objectives.core.Objective``."""
    require_not_negative(offset=offset)
    require_positive(temperature=temperature)

    def evaluate_block(z: Tensor, rows: slice) -> BlockResult:
        log_mean = statistics.log_mean[rows].to(z.dtype)
        if temperature == 1:
            return _evaluate_block(z, log_mean, offset, gradient)
        result = _evaluate_block(z / temperature, log_mean, offset, gradient)
        of_logits = None if result.gradient is None else result.gradient.mul_(temperature)
        return result._replace(loss=result.loss * temperature**2, gradient=of_logits)

    return evaluate_by_rows(logits, evaluate_block, gradient=gradient, into=into)


@compilable
def _evaluate_block(z: Tensor, log_mean: Tensor, offset: float, gradient: bool) -> BlockResult:
    """One block [rows, K].

    With q_k = ln(alpha_k / alpha0) - lbar_k and the remainders H and r of ``ednd_nmt.special``, the terms of
    the size alpha0 ln alpha0 cancel on paper and leave::

        loss = sum_k [ (alpha_k - 1/2) q_k + lbar_k / 2 + r_k ] - r0 + (K - 1)/2 (ln 2 pi - ln alpha0)
        dloss/dz_k = e_k [ q_k - H_k / alpha_k + H0 / alpha0 ]
    """
    classes, below_one = z.shape[-1], offset < 1
    e, alpha0 = exponentials_and_precision(z, offset)
    scale, u0 = mean_scale(z, alpha0, offset), alpha0.reciprocal()
    h0, _, r0 = all_remainders(alpha0)

    alpha = concentrations(e, offset)
    v = shifted_reciprocal(alpha)
    h = digamma_remainder(alpha, below_one, v)
    difference = log_mean_probability(z, alpha, scale, offset).sub_(log_mean)
    terms = ((alpha - 0.5) * difference).add_(log_mean, alpha=0.5).add_(lgamma_remainder(alpha, below_one, v))
    mkl = (row_sum(h) - h0) * u0
    loss = row_sum(terms) + scale.rest * (alpha0 - 0.5 * classes) - r0
    loss = loss + (classes - 1) * (HALF_LOG_TWO_PI - 0.5 * alpha0.log())
    if not gradient:
        return BlockResult(loss, None, alpha0, mkl)
    of_total = computed_once((scale.rest + h0 * u0).to(z.dtype))
    return BlockResult(loss, difference.sub_(h.div_(alpha)).add_(of_total).mul_(e), alpha0, mkl)
