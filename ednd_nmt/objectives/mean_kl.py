"""Ensemble distillation into a categorical student: KL divergence from the ensemble's mean."""

from __future__ import annotations

from torch import Tensor

from ednd_nmt.compiled import compilable, computed_once
from ednd_nmt.elementary import exp
from ednd_nmt.ensemble import EnsembleStatistics
from ednd_nmt.objectives.core import BlockResult, Evaluation, closed_form_loss, evaluate_by_rows
from ednd_nmt.rows import row_sum


def mean_kl_loss(logits: Tensor, statistics: EnsembleStatistics) -> Tensor:
    """KL(pbar || softmax(logits)), ensemble distillation (EnD in arXiv 2105.06987), per token, in nats.

    The gradient, softmax(logits) - pbar, is computed with the loss and is all that is kept.

    Args:
        logits: the student's, [..., K], any floating dtype. Arithmetic is in float32 (float64 for float64
            logits), sums over K are in float64, and the gradient comes back in the logits' dtype.
        statistics: the ensemble's, for the same tokens.

    Returns:
        Loss per token [...], differentiable once in the logits; in float32 (float64 for float64 logits).

    Raises:
        UserError: statistics of another shape than the logits.

    >>> import torch
    >>> from ednd_nmt.ensemble import ensemble_statistics
    >>> statistics = ensemble_statistics([torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]])])
    >>> mean_kl_loss(torch.tensor([[1.0, 1.0]]), statistics)
    tensor([0.])
    """
    return closed_form_loss(logits, statistics, mean_kl_value_and_gradient)


def mean_kl_value_and_gradient(
    logits: Tensor, statistics: EnsembleStatistics, *, gradient: bool = True, into: Tensor | None = None
) -> Evaluation:
    """Values and gradient of ``mean_kl_loss``, see ``ednd_nmt.objectives.core.Objective``."""

    def evaluate_block(z: Tensor, rows: slice) -> BlockResult:
        entropy = statistics.entropy_of_mean[rows].unsqueeze(-1)
        return _evaluate_block(z, statistics.mean[rows].to(z.dtype), entropy, gradient)

    return evaluate_by_rows(logits, evaluate_block, gradient=gradient, into=into)


@compilable
def _evaluate_block(z: Tensor, mean: Tensor, entropy_of_mean: Tensor, gradient: bool) -> BlockResult:
    """One block [rows, K]; ``entropy_of_mean`` [rows, 1]."""
    shifted = z - z.amax(-1, keepdim=True)
    probability = computed_once(exp(shifted))
    normaliser = row_sum(probability)
    cross_entropy = normaliser.log() - row_sum(shifted.mul_(mean))
    loss = (cross_entropy - entropy_of_mean).clamp_(min=0)
    if not gradient:
        return BlockResult(loss, None)
    return BlockResult(loss, (probability * computed_once(normaliser.reciprocal().to(z.dtype))).sub_(mean))
