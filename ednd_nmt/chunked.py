"""Projection, teacher and objective together, on one chunk of tokens at a time.

The student's and the teachers' logits, [tokens, K] each, are the largest tensors of distillation. Here they
exist only for as many tokens as a memory budget allows: each chunk is projected, evaluated, and turned at
once into its share of the gradients of the features and of the projection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ednd_nmt.ensemble import EnsembleStatistics, ensemble_statistics
from ednd_nmt.errors import UserError
from ednd_nmt.large_pages import in_large_pages
from ednd_nmt.objectives.core import Evaluation, Objective
from ednd_nmt.objectives.cross_entropy import cross_entropy_value_and_gradient
from ednd_nmt.projection import linear_logits
from ednd_nmt.rows import row_sum, working_dtype

MemberLogits = Callable[[slice], Iterable[Tensor]]
"""Given the positions of a chunk among the tokens, yields each member's logits [chunk, K], one member at a
time; they need to last until the next member's are asked for, see ``ednd_nmt.projection.linear_logits``."""

TeacherOutput = Callable[[slice], Iterable[Tensor] | EnsembleStatistics]
"""As ``MemberLogits``, or with the statistics at once where they are known already."""

DEFAULT_CHUNK_BUDGET_MIB = 512.0
"""More than a few hundred tokens of 40,000 classes: with fewer rows, matrix products take longer for each of them."""

_LARGEST_HALF_SUM = 2.0**14
"""What a sum in float16 may come to, with room to spare below 65504."""


@dataclass(frozen=True)
class ProjectedLoss:
    """What ``projected_loss`` returns.

    Attributes:
        loss: the weighted sum of ``token_loss``; the only differentiable part, a scalar in float32 (or
            float64). If it is not finite, its gradients are NaN.
        token_loss: per token [tokens], unweighted: objective_weight * objective + cross_entropy_weight *
            cross-entropy.
        token_objective: the objective alone, [tokens].
        token_cross_entropy: the label-smoothed cross-entropy alone, [tokens]; None without targets.
        diagnostics: named per-token values [tokens], empty unless asked for:

            ``teacher_mkl``, ``teacher_epkl``, ``teacher_mutual_information``
                the ensemble's;
            ``target_precision``
                beta0 of the proxy target, if the objective has one;
            ``student_precision``, ``student_mkl``, ``student_epkl``, ``student_mutual_information``
                the student's, if it is a Dirichlet distribution;
            ``top_class_gradient_share``
                the part of sum_k |dobjective/dz_k| that falls on the ensemble's most probable class (only
                with gradients).
    """

    loss: Tensor
    token_loss: Tensor
    token_objective: Tensor
    token_cross_entropy: Tensor | None
    diagnostics: dict[str, Tensor]


def projected_loss(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    teacher: TeacherOutput,
    objective: Objective,
    *,
    token_weights: Tensor | None = None,
    objective_weight: float = 1.0,
    targets: Tensor | None = None,
    cross_entropy_weight: float = 0.0,
    label_smoothing: float = 0.0,
    member_temperature: float = 1.0,
    chunk_budget_mib: float = DEFAULT_CHUNK_BUDGET_MIB,
    diagnostics: bool = False,
) -> ProjectedLoss:
    """The distillation loss of ``features @ weight.T + bias`` without ever holding the logits of all tokens.

    The gradients of ``loss`` in features, weight and bias are accumulated while the loss is computed, and
    saved; the backward pass only multiplies them by the incoming scalar. Per-token weights therefore go in
    here and not onto the result. Peak memory above the arguments and gradients is set by ``chunk_budget_mib``
    alone, whatever the number of tokens and of members.

    Args:
        features: the decoder's output for the tokens that count (padding already dropped), [tokens, D].
        weight: the output projection, [K, D].
        bias: [K], or None.
        teacher: called once for each chunk, in order; see ``TeacherOutput``. Runs without gradients.
        objective: for example ``functools.partial(reverse_kl_value_and_gradient, offset=1.0)``.
        token_weights: [tokens], default all 1.
        objective_weight: factor of the objective.
        targets: class numbers [tokens] for the cross-entropy, needed if ``cross_entropy_weight`` is not 0; if
            given with the weight 0, the cross-entropy is evaluated but has no gradient.
        cross_entropy_weight: factor of the label-smoothed cross-entropy.
        label_smoothing: its smoothing, from 0 to 1.
        member_temperature: passed to ``ednd_nmt.ensemble.ensemble_statistics``.
        chunk_budget_mib: memory for the logits and their kin; a chunk has at least one token.
        diagnostics: also return per-token diagnostics.

    Returns:
        Values in float32 (float64 for float64 features). Projection and its gradients are computed in the
        features' dtype, or in autocast's; gradients are summed over chunks in float32.

    Raises:
        UserError: shapes that do not fit, or a cross-entropy without targets.

    >>> from functools import partial
    >>> from ednd_nmt.objectives.reverse_kl import reverse_kl_value_and_gradient
    >>> features, weight = torch.ones(4, 2, requires_grad=True), torch.eye(3, 2, requires_grad=True)
    >>> teacher = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0))  # 5 members
    >>> objective = partial(reverse_kl_value_and_gradient, offset=1.0)
    >>> result = projected_loss(features, weight, None, lambda tokens: teacher[:, tokens], objective)
    >>> result.loss.backward()
    >>> features.grad.shape, weight.grad.shape, result.token_loss.shape
    (torch.Size([4, 2]), torch.Size([3, 2]), torch.Size([4]))
    """
    _check_arguments(features, weight, bias, token_weights, targets, cross_entropy_weight)
    needed = (features.requires_grad, weight.requires_grad, bias is not None and bias.requires_grad)
    work = _Work(
        teacher=teacher,
        objective=objective,
        token_weights=token_weights,
        objective_weight=objective_weight,
        targets=targets,
        cross_entropy_weight=cross_entropy_weight,
        label_smoothing=label_smoothing,
        member_temperature=member_temperature,
        chunk_budget_mib=chunk_budget_mib,
        diagnostics=diagnostics,
        needed=needed if torch.is_grad_enabled() else (False, False, False),
    )
    loss, token_objective, token_cross_entropy, *values = _ProjectedLoss.apply(features, weight, bias, work)
    token_loss = objective_weight * token_objective
    if token_cross_entropy is not None and cross_entropy_weight:
        token_loss = token_loss + cross_entropy_weight * token_cross_entropy
    return ProjectedLoss(
        loss,
        token_loss,
        token_objective,
        token_cross_entropy,
        dict(zip(work.diagnostic_names, values, strict=True)),
    )


def _check_arguments(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    token_weights: Tensor | None,
    targets: Tensor | None,
    cross_entropy_weight: float,
) -> None:
    if features.dim() != 2 or weight.dim() != 2 or features.shape[1] != weight.shape[1]:
        raise UserError(
            f"The projection needs features [tokens, D] and a weight [K, D], but got {tuple(features.shape)} "
            f"and {tuple(weight.shape)}."
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise UserError(f"The bias must have the shape ({weight.shape[0]},), but has {tuple(bias.shape)}.")
    for name, value in (("token_weights", token_weights), ("targets", targets)):
        if value is not None and value.shape != features.shape[:1]:
            raise UserError(f"{name} must have the shape ({len(features)},), but has {tuple(value.shape)}.")
    if cross_entropy_weight and targets is None:
        raise UserError("A cross-entropy weight needs targets; pass targets or set the weight to 0.")


@dataclass
class _Work:
    """The arguments of ``projected_loss`` that are not differentiated, and the names of its diagnostics."""

    teacher: TeacherOutput
    objective: Objective
    token_weights: Tensor | None
    objective_weight: float
    targets: Tensor | None
    cross_entropy_weight: float
    label_smoothing: float
    member_temperature: float
    chunk_budget_mib: float
    diagnostics: bool
    needed: tuple[bool, bool, bool]
    diagnostic_names: tuple[str, ...] = ()

    def tensors(self, dtype: torch.dtype) -> int:
        """How many vocabulary-sized tensors of the working dtype are alive at once, for features of ``dtype``.

        The mean, the mean logarithm, the student's logits, which become their gradient (before them, a member's logits), and
        room for what blocks of rows and diagnostics need; a cross-entropy's gradient; and where the logits are in half
        precision, their gradient.
        """
        return 4 + (self.cross_entropy_weight != 0) + (dtype != working_dtype(dtype))


def token_chunks(
    tokens: int, classes: int, tensors: int, dtype: torch.dtype, budget_mib: float
) -> Iterator[slice]:
    """Chunks of so many tokens that ``tensors`` [chunk, K] of ``dtype``'s working dtype stay within the budget."""
    bytes_per_token = classes * tensors * working_dtype(dtype).itemsize
    step = max(1, int(budget_mib * 2**20 / bytes_per_token))
    # Even chunks: a last chunk of a few tokens would use the matrix product badly.
    step = -(-tokens // max(1, -(-tokens // step)))
    for start in range(0, tokens, max(1, step)):
        yield slice(start, min(start + step, tokens))


class _ProjectedLoss(torch.autograd.Function):
    """Loss and diagnostics in the forward pass, together with the gradients that the backward pass only scales."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None, work: _Work
    ) -> tuple[Any, ...]:
        device = features.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else features.dtype
        with torch.autocast(device, enabled=False):
            results, gradients = _run(features.to(dtype), weight.to(dtype), bias, work)
        # 0, or NaN if the loss is not finite: its gradients are not either then, and whoever looks at their norm alone,
        # as fairseq does, learns of it without waiting for the device.
        ctx.save_for_backward(*gradients, results[0] * 0)
        ctx.dtypes = (features.dtype, weight.dtype, None if bias is None else bias.dtype)
        ctx.mark_non_differentiable(*(value for value in results[1:] if value is not None))
        return results

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        *gradients, zero = ctx.saved_tensors
        factor = grad_loss + zero
        # Of an ordinary backward pass it is 1; looking at it would have a GPU waited for.
        scale = factor.device.type != "cpu" or bool(factor != 1)
        scaled = [
            None
            if gradient is None
            else (gradient * factor.to(gradient.dtype) if scale else gradient).to(dtype)
            for gradient, dtype in zip(gradients, ctx.dtypes, strict=True)
        ]
        return (*scaled, None)


def _run(
    features: Tensor, weight: Tensor, bias: Tensor | None, work: _Work
) -> tuple[tuple[Any, ...], list[Tensor | None]]:
    accumulator = working_dtype(features.dtype)
    sources = (features, weight, bias)
    gradients = [
        in_large_pages(torch.zeros(source.shape, dtype=accumulator, device=source.device))
        if needed and source is not None
        else None
        for source, needed in zip(sources, work.needed, strict=True)
    ]

    def column() -> Tensor:
        return torch.zeros(len(features), dtype=accumulator, device=features.device)

    columns = {"objective": column()} | ({} if work.targets is None else {"cross_entropy": column()})
    tensors = work.tensors(features.dtype)
    for tokens in token_chunks(len(features), len(weight), tensors, features.dtype, work.chunk_budget_mib):
        # Copied and let go: kept, they would lie between the memory of one chunk and that of the next, see
        # `ednd_nmt.objectives.core.evaluate_by_rows`.
        for name, values in _run_chunk(features, weight, bias, tokens, gradients, work).items():
            if name not in columns:
                columns[name] = column()
            columns[name][tokens] = values
    objective = columns.pop("objective")
    cross_entropy = columns.pop("cross_entropy", None)
    total = work.objective_weight * objective
    if cross_entropy is not None and work.cross_entropy_weight:
        total = total + work.cross_entropy_weight * cross_entropy
    if work.token_weights is not None:
        total = total * work.token_weights.to(total.dtype)
    loss = total.sum(dtype=torch.float64).to(accumulator)
    work.diagnostic_names = tuple(columns)
    return (loss, objective, cross_entropy, *columns.values()), gradients


def _run_chunk(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    tokens: slice,
    gradients: list[Tensor | None],
    work: _Work,
) -> dict[str, Tensor]:
    """Evaluate one chunk, add its part of the gradients, and return its per-token values."""
    wanted = any(gradient is not None for gradient in gradients)
    statistics = work.teacher(tokens)
    if not isinstance(statistics, EnsembleStatistics):
        statistics = ensemble_statistics(statistics, work.member_temperature)
        # Two tensors, and not one for each member, where the members have a device of their own.
        statistics = statistics.map(lambda values: values.to(features.device))
    elif work.member_temperature != 1:
        raise UserError("Stored targets are those of the members at temperature 1; leave out --temperature.")
    expected = (tokens.stop - tokens.start, len(weight))
    if statistics.mean.shape != expected:
        raise UserError(
            f"The teacher's statistics are for {tuple(statistics.mean.shape)} tokens and classes, the student's logits for "
            f"{expected}; both must cover the same tokens and the same vocabulary."
        )
    logits = linear_logits(features[tokens], weight, bias)
    values: dict[str, Tensor] = {}

    cross_entropy_gradient = None
    if work.targets is not None:
        with_gradient = wanted and work.cross_entropy_weight != 0
        cross_entropy = cross_entropy_value_and_gradient(
            logits, work.targets[tokens], label_smoothing=work.label_smoothing, gradient=with_gradient
        )
        values["cross_entropy"] = cross_entropy.loss
        cross_entropy_gradient = cross_entropy.gradient
    # The objective reads a block of logits before it writes that block's gradient, so that they may share
    # their memory.
    into = logits if wanted and logits.dtype == working_dtype(logits.dtype) else None
    result = work.objective(logits, statistics, gradient=wanted, into=into)
    values["objective"] = result.loss
    if work.diagnostics:
        values |= _diagnostics(statistics, result, logits.shape[-1])

    if result.gradient is not None:
        gradient = result.gradient
        if work.objective_weight != 1:
            gradient.mul_(work.objective_weight)
        if cross_entropy_gradient is not None:
            gradient.add_(cross_entropy_gradient, alpha=work.cross_entropy_weight)
        if work.token_weights is not None:
            gradient.mul_(work.token_weights[tokens].to(gradient.dtype).unsqueeze(-1))
        _accumulate(gradient, features[tokens], weight, tokens, gradients)
    return values


def _accumulate(
    gradient: Tensor, features: Tensor, weight: Tensor, tokens: slice, gradients: list[Tensor | None]
) -> None:
    """Add the chunk's ``gradient`` in the logits [chunk, K] to the gradients of features, weight and bias."""
    of_features, of_weight, of_bias = gradients
    if of_bias is not None:
        of_bias.add_(gradient.sum(0))
    if features.dtype == gradient.dtype:
        if of_features is not None:
            torch.mm(gradient, weight, out=of_features[tokens])
        if of_weight is not None:
            of_weight.addmm_(gradient.t(), features)
        return
    # Half precision: a power of two brings the largest row to an L1 norm of about 1, so that neither the
    # small entries nor the products with the weight leave float16's range, whatever loss scale is applied later.
    scale = torch.exp2(-torch.log2(gradient.abs().sum(-1).amax().clamp(min=1e-30)).round())
    half = (gradient * scale).to(features.dtype)
    if of_features is not None:
        of_features[tokens] = torch.mm(half, weight).to(of_features.dtype).div_(scale)
    if of_weight is not None:
        # These sums run over the tokens, and all may pull at one class: at most a feature's L1 norm over the chunk.
        room = features.abs().sum(0, dtype=torch.float32).amax() / _LARGEST_HALF_SUM
        shrink = torch.exp2(-torch.log2(room.clamp(min=1)).ceil())
        product = torch.mm((half * shrink.to(half.dtype)).t(), features)
        of_weight.add_(product.to(of_weight.dtype).div_(scale * shrink))


def _diagnostics(statistics: EnsembleStatistics, result: Evaluation, classes: int) -> dict[str, Tensor]:
    values = {
        "teacher_mkl": statistics.mkl,
        "teacher_epkl": statistics.epkl,
        "teacher_mutual_information": statistics.mutual_information,
    }
    if result.target_precision is not None:
        values["target_precision"] = result.target_precision
    if result.precision is not None and result.mkl is not None:
        epkl = (classes - 1) / result.precision
        values |= {
            "student_precision": result.precision,
            "student_mkl": result.mkl,
            "student_epkl": epkl,
            "student_mutual_information": (epkl - result.mkl).clamp(min=0),
        }
    if result.gradient is not None:
        top = result.gradient.gather(-1, statistics.mean.argmax(-1, keepdim=True)).abs().squeeze(-1)
        magnitude = row_sum(result.gradient.abs()).squeeze(-1).to(top.dtype)
        values["top_class_gradient_share"] = top / magnitude.clamp(min=torch.finfo(top.dtype).tiny)
    return values
