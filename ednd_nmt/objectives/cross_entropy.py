"""Label-smoothed cross-entropy with its gradient, to be mixed into an objective on the same logits."""

from __future__ import annotations

import torch
from torch import Tensor

from ednd_nmt.compiled import compilable, computed_once
from ednd_nmt.elementary import exp
from ednd_nmt.objectives.core import BlockResult, Evaluation, evaluate_by_rows
from ednd_nmt.rows import row_sum


def cross_entropy_value_and_gradient(
    logits: Tensor,
    targets: Tensor,
    *,
    label_smoothing: float = 0.0,
    gradient: bool = True,
    into: Tensor | None = None,
) -> Evaluation:
    """Label-smoothed cross-entropy of ``targets`` [tokens] and its gradient, per token, in nats.

    The target has the weight 1 - label_smoothing and every other class label_smoothing / (K - 1), as in
    fairseq's ``label_smoothed_cross_entropy``.

    Args:
        logits: [tokens, K].
        targets: class numbers, int64, [tokens].
        label_smoothing: from 0 to 1.
        gradient: whether to compute the gradient.
        into: optional buffer for it, as in ``ednd_nmt.objectives.core.Objective``.
    """

    def evaluate_block(z: Tensor, rows: slice) -> BlockResult:
        return _evaluate_block(z, targets[rows].unsqueeze(-1), label_smoothing, gradient)

    return evaluate_by_rows(logits, evaluate_block, gradient=gradient, into=into)


@compilable
def _evaluate_block(z: Tensor, target: Tensor, label_smoothing: float, gradient: bool) -> BlockResult:
    """One block [rows, K] with targets [rows, 1]."""
    classes = z.shape[-1]
    elsewhere = label_smoothing / (classes - 1) if label_smoothing else 0.0
    extra = 1.0 - label_smoothing - elsewhere  # what the target has beyond the weight of every class
    shifted = z - z.amax(-1, keepdim=True)
    probability = computed_once(exp(shifted))
    normaliser = row_sum(probability)
    log_normaliser = normaliser.log()
    loss = extra * (log_normaliser - shifted.gather(-1, target))
    if label_smoothing:
        loss = loss + elsewhere * (classes * log_normaliser - row_sum(shifted))
    if not gradient:
        return BlockResult(loss, None)
    of_logits = (probability * computed_once(normaliser.reciprocal().to(z.dtype))).sub_(elsewhere)
    return BlockResult(loss, of_logits.scatter_add_(-1, target, torch.full_like(z[:, :1], -1.0) * extra))
