"""What an ensemble says about a token: mean, mean logarithm, and the measures of its disagreement."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ednd_nmt.compiled import compilable, computed_once
from ednd_nmt.elementary import exp, log_
from ednd_nmt.errors import UserError, require_positive
from ednd_nmt.large_pages import in_large_pages
from ednd_nmt.rows import row_blocks, row_sum, working_dtype


@dataclass(frozen=True)
class EnsembleStatistics:
    """Statistics of M categorical distributions p_m over K classes, in nats (arXiv 2105.06987, 2002.07650).

    Attributes:
        mean: pbar_k = (1/M) sum_m p_m,k, [..., K].
        log_mean: lbar_k = (1/M) sum_m ln p_m,k, [..., K].
        mkl: sum_k pbar_k (ln pbar_k - lbar_k), [...].
        epkl: expected pairwise KL divergence of the members, ``mutual_information + mkl``, [...].
        mutual_information: entropy of the mean less the mean entropy, [...].
        expected_entropy: (1/M) sum_m H[p_m], [...].
        entropy_of_mean: H[pbar], [...].
    """

    mean: Tensor
    log_mean: Tensor
    mkl: Tensor
    epkl: Tensor
    mutual_information: Tensor
    expected_entropy: Tensor
    entropy_of_mean: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> EnsembleStatistics:
        """The statistics with ``function`` applied to every tensor, for example ``lambda x: x[rows]``."""
        return EnsembleStatistics(**{name: function(value) for name, value in vars(self).items()})

    def flatten(self) -> EnsembleStatistics:
        """The statistics with all token dimensions joined into one: [tokens, K] and [tokens]."""
        classes = self.mean.shape[-1]
        return EnsembleStatistics(
            mean=self.mean.reshape(-1, classes),
            log_mean=self.log_mean.reshape(-1, classes),
            **{
                name: value.reshape(-1)
                for name, value in vars(self).items()
                if name not in ("mean", "log_mean")
            },
        )


@torch.no_grad()
def ensemble_statistics(
    member_logits: Iterable[Tensor], temperature: float = 1.0, weights: Tensor | None = None
) -> EnsembleStatistics:
    """The statistics of an ensemble, from its members' logits taken one member at a time.

    The members' probabilities are softmax(logits / temperature), through log-softmax and without an epsilon.
    Besides the current member's logits only two vocabulary-sized tensors exist, the running means of p_m and
    of ln p_m, so that memory does not grow with M; a generator that computes each member's logits on demand
    is the intended argument.

    Args:
        member_logits: M >= 1 tensors of one shape [..., K], any floating dtype, finite; consumed once, in
            order. What a generator gives is not looked at again once the next is asked for, which may take its memory.
        temperature: softens (> 1) the members' distributions.
        weights: [..., M], not negative and 1 in sum: every (1/M) sum_m above becomes sum_m weights_m. None is 1/M.

    Returns:
        Statistics in float64 if the first member is float64, else in float32; sums over K are carried in
        float64. mkl, epkl and mutual_information are never negative and ``epkl == mutual_information + mkl``.
        A single member, or members that agree, have all three 0 up to 1e-7 times the entropy.

    Raises:
        UserError: no member, or members of different shapes; a temperature that is not above 0; weights of other members or
            tokens, negative ones, or such that their sum is not 1.

    >>> members = torch.tensor([[[2.0, 0.0, 0.0]], [[0.0, 2.0, 0.0]]])
    >>> statistics = ensemble_statistics(iter(members))
    >>> statistics.mean
    tensor([[0.4467, 0.4467, 0.1065]])
    >>> statistics.mutual_information
    tensor([0.2929])
    """
    require_positive(temperature=temperature)
    members = iter(_checked(member_logits))
    first = next(members)
    shape, dtype = first.shape, working_dtype(first.dtype)
    mean, log_mean = (
        in_large_pages(torch.empty(shape.numel() // shape[-1], shape[-1], dtype=dtype, device=first.device))
        for _ in range(2)
    )
    expected_entropy = torch.zeros(len(mean), 1, dtype=torch.float64, device=first.device)
    flat_weights = None if weights is None else _checked_weights(weights, shape).reshape(len(mean), -1)

    def add(logits: Tensor, count: int, rows: slice) -> None:
        """Fold rows of member number ``count`` into the running means, which stay exact when members agree."""
        block = logits.reshape(mean.shape)[rows].to(dtype)
        if temperature != 1:  # here, since a number that changes would have the body compiled again
            block = block / temperature
        if flat_weights is None:
            share = None if count == 1 else torch.full_like(block[:, :1], 1 / count)
            expected_entropy[rows] += _fold(block, mean[rows], log_mean[rows], share)
        else:
            if count > flat_weights.shape[1]:
                raise _other_members(flat_weights.shape[1])
            weight, share = flat_weights[rows, count - 1, None], None
            if count > 1:
                share = weight / flat_weights[rows, :count].sum(dim=-1, keepdim=True)
                share = share.nan_to_num(0.0).to(dtype)  # 0/0: no member so far has any weight
            expected_entropy[rows] += weight * _fold(block, mean[rows], log_mean[rows], share)

    if isinstance(member_logits, Sequence | Tensor):  # all there: a block's running means stay in cache
        present = [first, *members]
        count = len(present)
        for rows in row_blocks(mean):
            for number, logits in enumerate(present, start=1):
                add(logits, number, rows)
    else:
        count = 0
        current: Tensor | None = first
        del first
        while current is not None:
            count += 1
            for rows in row_blocks(mean):
                add(current, count, rows)
            current = None  # gone before the next one is made
            current = next(members, None)

    if flat_weights is None:
        expected_entropy /= count
    elif count < flat_weights.shape[1]:
        raise _other_members(flat_weights.shape[1])
    entropy_of_mean = torch.empty_like(expected_entropy)
    mkl = torch.empty_like(expected_entropy)
    for rows in row_blocks(mean):
        entropy_of_mean[rows], mkl[rows] = _entropy_and_mkl(mean[rows], log_mean[rows])
    mkl.clamp_(min=0)
    mutual_information = (entropy_of_mean - expected_entropy).clamp_(min=0)

    def per_token(values: Tensor) -> Tensor:
        return values.to(mean.dtype).reshape(shape[:-1])

    mkl, mutual_information = per_token(mkl), per_token(mutual_information)
    return EnsembleStatistics(
        mean=mean.reshape(shape),
        log_mean=log_mean.reshape(shape),
        mkl=mkl,
        epkl=mutual_information + mkl,
        mutual_information=mutual_information,
        expected_entropy=per_token(expected_entropy),
        entropy_of_mean=per_token(entropy_of_mean),
    )


def _checked(member_logits: Iterable[Tensor]) -> Iterator[Tensor]:
    """The members' logits, one at a time, as long as their shapes agree."""
    shape, iterator = None, iter(member_logits)
    for number in itertools.count(1):
        logits = next(iterator, None)
        if logits is None:
            break
        if shape is None:
            shape = logits.shape
        elif logits.shape != shape:
            raise UserError(
                f"All members must share one vocabulary and one set of tokens, but member 1 has logits of "
                f"shape {tuple(shape)} and member {number} of shape {tuple(logits.shape)}."
            )
        yield logits
        del logits  # a loop over the members would hold this one while the next one is made
    if shape is None:
        raise UserError("An ensemble needs at least one member, but no logits were given.")


def _checked_weights(weights: Tensor, shape: torch.Size) -> Tensor:
    """The weights [..., M] in float64, if they are those of the tokens of [..., K]."""
    weights = weights.double()
    if weights.shape[:-1] != shape[:-1]:
        raise UserError(
            f"The weights have shape {tuple(weights.shape)}, the members' logits {tuple(shape)}; give one weight for each "
            "token and member, the members last."
        )
    if not ((weights >= 0).all() and ((weights.sum(-1) - 1).abs() < 1e-3).all()):
        raise UserError(
            "The weights of the members must be at least 0 and 1 in sum; divide them by their sum."
        )
    return weights


def _other_members(weights: int) -> UserError:
    return UserError(f"There are weights for {weights} members, but not as many members; give one for each.")


def _fold(logits: Tensor, mean: Tensor, log_mean: Tensor, share: Tensor | None) -> Tensor:
    """Move the running means [rows, K] by ``share`` [rows, 1] of the way to p and ln p of one member; its entropy.

    Without a share they are set to the member's, whatever they were. The entropy is in float64, [rows, 1]. Running means of
    members that agree stay exactly the members'.
    """
    # Shifted by the maximum, the logarithm of a probability near 1 keeps its relative precision.
    return _fold_shifted(logits, logits.amax(-1, keepdim=True), mean, log_mean, share)


@compilable
def _fold_shifted(
    logits: Tensor, largest: Tensor, mean: Tensor, log_mean: Tensor, share: Tensor | None
) -> Tensor:
    shifted = logits - largest
    exponential = computed_once(exp(shifted))
    total = computed_once(row_sum(exponential))
    weighted = row_sum(shifted * exponential)
    logarithm = total.log()
    p = exponential * computed_once(total.reciprocal().to(logits.dtype))
    log_p = shifted.sub_(computed_once(logarithm.to(logits.dtype)))
    if share is None:
        mean.copy_(p)
        log_mean.copy_(log_p)
    else:
        mean.lerp_(p, share)
        log_mean.lerp_(log_p, share)
    return logarithm - weighted / total


@compilable
def _entropy_and_mkl(mean: Tensor, log_mean: Tensor) -> tuple[Tensor, Tensor]:
    """H[pbar] and sum_k pbar_k (ln pbar_k - lbar_k) in float64, each [rows, 1]."""
    # Probabilities that underflow to 0 contribute 0: the floor only keeps the logarithm finite.
    log_of_mean = log_(mean.clamp(min=torch.finfo(mean.dtype).tiny))
    return -row_sum(log_of_mean * mean), row_sum((log_of_mean - log_mean).mul_(mean))
