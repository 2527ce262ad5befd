"""What all objectives share: blocks of rows, closed-form gradients, and one autograd function around them.

An objective is a function ``(logits [tokens, K], statistics, *, gradient, into, ...) -> Evaluation`` that
returns its per-token values together with their gradient, so that no graph is ever built.
``closed_form_loss`` makes a differentiable loss of it; ``ednd_nmt.chunked`` calls it on one chunk of tokens
at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ednd_nmt.ensemble import EnsembleStatistics
from ednd_nmt.errors import UserError
from ednd_nmt.large_pages import in_large_pages, let_malloc_keep_blocks
from ednd_nmt.rows import row_blocks, working_dtype


class Evaluation(NamedTuple):
    """An objective's values for a batch of tokens, in float32 (float64 for float64 logits).

    Attributes:
        loss: [tokens], nats.
        gradient: of each token's loss in its own logits, [tokens, K]; None if it was not asked for.
        precision: the student's alpha0, [tokens]; None if the student is no Dirichlet distribution.
        mkl: the student's expected KL divergence from its mean, [tokens]; None likewise.
        target_precision: beta0 of the proxy target, [tokens]; None if the objective has none.
    """

    loss: Tensor
    gradient: Tensor | None
    precision: Tensor | None = None
    mkl: Tensor | None = None
    target_precision: Tensor | None = None


class Objective(Protocol):
    """The shape of every ``*_value_and_gradient`` once its options are bound with ``functools.partial``.

    ``into`` is a buffer [tokens, K] of the working dtype that the gradient may be put in; it may be the logits' own
    storage, which is spoilt then.
    """

    def __call__(
        self,
        logits: Tensor,
        statistics: EnsembleStatistics,
        *,
        gradient: bool = True,
        into: Tensor | None = None,
    ) -> Evaluation: ...


class BlockResult(NamedTuple):
    """One block of rows: ``loss``, ``precision`` and ``mkl`` in float64 [rows, 1], ``gradient`` [rows, K]."""

    loss: Tensor
    gradient: Tensor | None
    precision: Tensor | None = None
    mkl: Tensor | None = None


@torch.no_grad()
def evaluate_by_rows(
    logits: Tensor,
    evaluate_block: Callable[[Tensor, slice], BlockResult],
    *,
    gradient: bool,
    into: Tensor | None,
    target_precision: Tensor | None = None,
) -> Evaluation:
    """Call ``evaluate_block(logits of the block in the working dtype, its rows)`` on blocks, collect what it returns."""
    dtype, tokens = working_dtype(logits.dtype), len(logits)
    let_malloc_keep_blocks()
    # A block's results are copied and let go. Kept, they would lie between the room of one block's temporaries and the
    # next's, and malloc would find fresh memory for every block: in all as much as the logits of all tokens take.
    columns = {
        name: torch.empty(tokens, 1, dtype=dtype, device=logits.device)
        for name in ("loss", "precision", "mkl")
    }
    found = {"loss"}
    for rows in row_blocks(logits):
        block = evaluate_block(logits[rows].to(dtype), rows)
        for name, column in columns.items():
            values = getattr(block, name)
            if values is not None:
                column[rows] = values
                found.add(name)
        if block.gradient is not None:
            if len(block.gradient) == tokens:
                into = block.gradient  # one block is everything
            else:
                if into is None:
                    into = in_large_pages(torch.empty(logits.shape, dtype=dtype, device=logits.device))
                into[rows] = block.gradient
        del block, values
    if gradient and into is None:
        into = torch.empty(logits.shape, dtype=dtype, device=logits.device)
    per_token = {name: columns[name].squeeze(-1) for name in found}
    return Evaluation(gradient=into if gradient else None, target_precision=target_precision, **per_token)


class _ClosedForm(torch.autograd.Function):
    """A loss whose gradient was computed with it; nothing but that gradient is saved."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, statistics: EnsembleStatistics, objective: Objective) -> Tensor:
        needs_gradient = ctx.needs_input_grad[0]
        result = objective(
            logits.reshape(-1, logits.shape[-1]), statistics.flatten(), gradient=needs_gradient
        )
        if result.gradient is not None:
            # float32 for float16 logits: before the loss scale is applied, float16 would lose the small entries.
            keep = torch.float32 if logits.dtype == torch.float16 else logits.dtype
            ctx.save_for_backward(result.gradient.to(keep).reshape(logits.shape))
            ctx.dtype = logits.dtype
        return result.loss.reshape(logits.shape[:-1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        # What sum() passes on; looking at it would have a GPU waited for.
        if grad_output.device.type == "cpu" and bool((grad_output == 1).all()):
            return gradient.to(ctx.dtype), None, None
        return (gradient * grad_output.unsqueeze(-1)).to(ctx.dtype), None, None


def closed_form_loss(logits: Tensor, statistics: EnsembleStatistics, objective: Objective) -> Tensor:
    """The objective's per-token loss [...] for logits [..., K], differentiable once in the logits.

    Raises:
        UserError: the statistics belong to other tokens or to another vocabulary than the logits.
    """
    if logits.shape != statistics.mean.shape:
        raise UserError(
            f"The student's logits have shape {tuple(logits.shape)}, but the ensemble's statistics are for "
            f"{tuple(statistics.mean.shape)}; both must cover the same tokens and the same vocabulary."
        )
    if not torch.is_grad_enabled():
        logits = logits.detach()  # autograd would ask for the gradient all the same
    loss: Tensor = _ClosedForm.apply(logits, statistics, objective)
    return loss
