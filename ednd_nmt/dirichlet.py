"""The uncertainties of a student whose logits give a Dirichlet distribution, alpha = exp(logits) + offset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ednd_nmt.compiled import compilable, computed_once
from ednd_nmt.elementary import exp, log_
from ednd_nmt.errors import require_not_negative
from ednd_nmt.rows import row_blocks, row_sum, working_dtype
from ednd_nmt.special import SMALLEST_CONCENTRATION, digamma_complement, digamma_remainder, trigamma_remainder

LARGEST_LOGIT = 80.0
"""Logits beyond it act as if they were this large: exp of them would leave float32's range."""


def exponentials_and_precision(logits: Tensor, offset: float) -> tuple[Tensor, Tensor]:
    """exp(logits) [..., K], and alpha0 = sum_k exp(logits_k) + offset in float64 [..., 1]; logits in the working dtype."""
    exponential = computed_once(exp(logits, LARGEST_LOGIT))
    alpha0 = row_sum(exponential) + logits.shape[-1] * max(offset, SMALLEST_CONCENTRATION)
    return exponential, computed_once(alpha0)


def concentrations(exponential: Tensor, offset: float) -> Tensor:
    """alpha = exp(logits) + offset [..., K]."""
    alpha = exponential + offset
    return alpha.clamp_(min=SMALLEST_CONCENTRATION) if offset < 1 else alpha


def log_concentrations(logits: Tensor, offset: float) -> Tensor:
    """ln alpha = ln(exp(logits) + offset) [..., K] without overflow, in float64 for float64 logits, else in float32."""
    z = logits.to(working_dtype(logits.dtype))
    return torch.logaddexp(z, torch.tensor(offset, dtype=z.dtype, device=z.device).log())


class MeanScale(NamedTuple):
    """What ``log_mean_probability`` needs of a row, each [..., 1].

    Attributes:
        factor: 1/alpha0 in the logits' dtype; for the offset 0 ln alpha0 less ``largest``, since the quotients may leave
            float32's range, and their logarithms do not.
        largest: the row's largest logit for the offset 0; not used otherwise.
        rest: what rounding ``factor`` takes from every class alike, in float64; a sum over classes can add it back.
    """

    factor: Tensor
    largest: Tensor
    rest: Tensor


def mean_scale(logits: Tensor, alpha0: Tensor, offset: float) -> MeanScale:
    """The scale of logits [..., K] with alpha0 [..., 1] in float64."""
    if offset == 0:
        largest = logits.amax(-1, keepdim=True).clamp(max=LARGEST_LOGIT)
        shift = alpha0.log() - largest
        factor = computed_once(shift.to(logits.dtype))
        return MeanScale(factor, largest, factor - shift)
    factor = computed_once(alpha0.reciprocal().to(logits.dtype))
    return MeanScale(factor, factor, -(alpha0 * factor).log())


def log_mean_probability(logits: Tensor, alpha: Tensor, scale: MeanScale, offset: float) -> Tensor:
    """ln(alpha_k / alpha0) [..., K] without the scale's rest, precise also where it is nearly 0."""
    if offset == 0:
        return (logits.clamp(max=LARGEST_LOGIT) - scale.largest).sub_(scale.factor)
    return log_(alpha * scale.factor)


@dataclass(frozen=True)
class DirichletUncertainty:
    """Measures of a Dirichlet distribution over categorical distributions, in nats, each [...].

    With p = alpha / alpha0: ``total`` = H[p], ``data`` = E H, ``mutual_information`` = total - data,
    ``epkl`` = (K - 1) / alpha0, ``mkl`` = epkl - mutual_information, and ``precision`` = alpha0.
    """

    total: Tensor
    data: Tensor
    mutual_information: Tensor
    epkl: Tensor
    mkl: Tensor
    precision: Tensor


@torch.no_grad()
def dirichlet_uncertainty(logits: Tensor, offset: float = 1.0) -> DirichletUncertainty:
    """Uncertainty measures of Dir(exp(logits) + offset) (arXiv 2105.06987), without cancellation.

    With G(x) = x (psi(x + 1) - ln x), which lies between 0 and 1/2 (``ednd_nmt.special.digamma_complement``)::

        total = -sum_k p_k ln p_k
        mutual_information = (sum_k G(alpha_k) - G(alpha0)) / alpha0
        data  = total - mutual_information,    epkl = (K - 1) / alpha0,    mkl = epkl - mutual_information

    One pass over the logits, in blocks that stay in the processor's cache.

    Args:
        logits: [..., K], any floating dtype.
        offset: >= 0, the model's; 1 is the fastest.

    Returns:
        Measures [...] in float64 for float64 logits, else in float32; sums over K are carried in float64.

    Raises:
        UserError: an offset below 0.

    >>> uncertainty = dirichlet_uncertainty(torch.zeros(3))
    >>> uncertainty.precision, uncertainty.total
    (tensor(6.), tensor(1.0986))
    >>> round(float(uncertainty.mutual_information), 6), round(float(uncertainty.mkl), 6)
    (0.148612, 0.184721)
    """
    flat = logits.reshape(-1, logits.shape[-1])
    found = uncertainty_of_sums(dirichlet_sums(flat, offset), logits.shape[-1])
    dtype = working_dtype(logits.dtype)
    return DirichletUncertainty(
        **{name: value.to(dtype).reshape(logits.shape[:-1]) for name, value in vars(found).items()}
    )


@dataclass(frozen=True)
class DirichletSums:
    """All that the measures of a Dirichlet need of the vocabulary: three sums over its K classes, each [...].

    Attributes:
        precision: alpha0.
        complements: sum_k G(alpha_k), with G as in :func:`dirichlet_uncertainty`.
        entropy: H[alpha / alpha0], nats.
    """

    precision: Tensor
    complements: Tensor
    entropy: Tensor


@torch.no_grad()
def dirichlet_sums(logits: Tensor, offset: float = 1.0, rows: Tensor | None = None) -> DirichletSums:
    """The sums of Dir(exp(logits) + offset) in one pass over the logits, in blocks that stay in the processor's cache.

    Args:
        logits: [rows, K], any floating dtype.
        offset: >= 0; 1 is the fastest.
        rows: int64 [n], the rows that are wanted; None is all.

    Returns:
        Float64, [n] or [rows] each.
    """
    require_not_negative(offset=offset)
    wanted = len(logits) if rows is None else len(rows)
    sums = torch.empty(3, wanted, 1, dtype=torch.float64, device=logits.device)
    for part in row_blocks(logits, wanted):
        block = logits[part] if rows is None else logits.index_select(0, rows[part])
        sums[:, part] = _sums(block.to(working_dtype(logits.dtype)), offset)
    return DirichletSums(*sums.squeeze(-1))


def uncertainty_of_sums(sums: DirichletSums, classes: int) -> DirichletUncertainty:
    """The measures from the sums over K = ``classes``; of the sums' shape, in float64."""
    precision, complements, entropy = (value.double() for value in vars(sums).values())
    information = complements - digamma_complement(precision)  # alpha0 times the mutual information
    mutual_information = (information / precision).clamp_(min=0)
    return DirichletUncertainty(
        total=entropy.clamp(min=0),
        data=(entropy - mutual_information).clamp_(min=0),
        mutual_information=mutual_information,
        epkl=(classes - 1) / precision,
        mkl=((classes - 1 - information) / precision).clamp_(min=0),
        precision=precision,
    )


@compilable
def _sums(z: Tensor, offset: float) -> Tensor:
    """alpha0, sum_k G(alpha_k) and the entropy of the mean, each [rows, 1] in float64, for logits [rows, K]."""
    exponential, alpha0 = exponentials_and_precision(z, offset)
    scale = mean_scale(z, alpha0, offset)
    alpha = concentrations(exponential, offset)
    if offset < 1:
        complements = row_sum(digamma_complement(alpha))
    else:  # G(x) = 1 - digamma_remainder(x), and the remainder is faster from 1 on
        complements = z.shape[-1] - row_sum(digamma_remainder(alpha, below_one=False))
    logarithms = row_sum(log_mean_probability(z, alpha, scale, offset).mul_(alpha))
    return torch.stack([alpha0, complements, -logarithms / alpha0 - scale.rest])


@torch.no_grad()
def dirichlet_log_probability(
    logits: Tensor, token: Tensor, offset: float = 1.0, *, precision: Tensor | None = None
) -> Tensor:
    """Log-probability of ``token`` [...] under the mean of the Dirichlet, ln(alpha_y / alpha0), in nats, [...].

    Args:
        logits: [..., K].
        token: class numbers, int64, [...].
        offset: the model's.
        precision: alpha0 [...] if ``dirichlet_uncertainty`` has already given it; else it is computed.

    >>> dirichlet_log_probability(torch.zeros(4), torch.tensor(2))
    tensor(-1.3863)
    """
    alpha, alpha0 = _chosen(logits, token, offset, precision)
    return (alpha / alpha0).log().to(working_dtype(logits.dtype))


@torch.no_grad()
def dirichlet_token_mkl(
    logits: Tensor, token: Tensor, offset: float = 1.0, *, precision: Tensor | None = None
) -> Tensor:
    """How far the expected log-probability of ``token`` lies below that of the mean, in nats, [...].

    psi(alpha0) - psi(alpha_y) + ln p_y = h(alpha_y) - h(alpha0) >= 0 with h(x) = ln x - psi(x). Its mean over
    a hypothesis is the student's sequence-level MKL. Arguments as for ``dirichlet_log_probability``.
    """
    alpha, alpha0 = _chosen(logits, token, offset, precision)
    gap = digamma_remainder(alpha) / alpha - digamma_remainder(alpha0) / alpha0
    return gap.clamp(min=0).to(working_dtype(logits.dtype))


@torch.no_grad()
def log_probability_variance(
    logits: Tensor, token: Tensor, offset: float = 1.0, *, precision: Tensor | None = None
) -> Tensor:
    """Variance of ln pi_y of ``token``, pi from the Dirichlet: psi1(alpha_y) - psi1(alpha0), in nats^2, [...].

    Given the prefix, tokens are independent, so that their sum is the variance of a hypothesis'
    log-probability. Arguments as for ``dirichlet_log_probability``. In float64: for small concentrations (offset 0, a logit
    below -44) it leaves the range of float32.
    """
    alpha, alpha0 = _chosen(logits, token, offset, precision)
    gap = (alpha0 - alpha) / (alpha * alpha0)  # 1/alpha_y - 1/alpha0
    gap = gap + trigamma_remainder(alpha) / alpha.square() - trigamma_remainder(alpha0) / alpha0.square()
    return gap.clamp(min=0)


def _chosen(logits: Tensor, token: Tensor, offset: float, precision: Tensor | None) -> tuple[Tensor, Tensor]:
    """alpha_y and alpha0 in float64, each [...].

    Raises:
        UserError: a negative or non-finite offset.
    """
    require_not_negative(offset=offset)
    if precision is None:
        _, alpha0 = exponentials_and_precision(logits.to(working_dtype(logits.dtype)), offset)
        precision = alpha0.squeeze(-1)
    chosen = logits.gather(-1, token.unsqueeze(-1)).squeeze(-1).double()
    alpha = (chosen.clamp(max=LARGEST_LOGIT).exp() + offset).clamp(min=SMALLEST_CONCENTRATION)
    return alpha, torch.maximum(precision.double(), alpha)
