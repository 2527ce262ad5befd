"""The uncertainties of a student whose logits parametrise a Dirichlet distribution with alpha = exp(logits) +
offset."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ednd_nmt.rows import row_blocks, row_sum, working_dtype
from ednd_nmt.special import SMALLEST_CONCENTRATION, digamma_remainder, trigamma_remainder

LARGEST_LOGIT = 80.0
"""Logits beyond it act as if they were this large: exp of them would leave float32's range."""


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

    With H(x) = x (ln x - psi(x)), which lies between 1/2 and 1 (``ednd_nmt.special.digamma_remainder``)::

        total = ln alpha0 - sum_k p_k ln alpha_k
        mkl   = (sum_k H(alpha_k) - H(alpha0)) / alpha0
        mutual_information = (sum_k (1 - H(alpha_k)) - (1 - H(alpha0))) / alpha0
        data  = total - mutual_information,    epkl = (K - 1) / alpha0

    One pass over the logits, in blocks that stay in the processor's cache.

    Args:
        logits: [..., K], any floating dtype.
        offset: >= 0, the model's; 1 is the fastest.

    Returns:
        Measures [...] in float64 for float64 logits, else in float32; sums over K are carried in float64.

    >>> uncertainty = dirichlet_uncertainty(torch.zeros(3))
    >>> uncertainty.precision, uncertainty.total
    (tensor(6.), tensor(1.0986))
    >>> round(float(uncertainty.mutual_information), 6), round(float(uncertainty.mkl), 6)
    (0.148612, 0.184721)
    """
    classes = logits.shape[-1]
    flat = logits.reshape(-1, classes)
    dtype = working_dtype(logits.dtype)
    sums = torch.empty(3, len(flat), 1, dtype=torch.float64, device=logits.device)
    for rows in row_blocks(flat):
        alpha = flat[rows].to(dtype).clamp(max=LARGEST_LOGIT).exp_()
        total = row_sum(alpha) + classes * offset
        alpha += offset
        if offset < 1:
            alpha.clamp_(min=SMALLEST_CONCENTRATION)
        sums[0, rows] = total
        sums[1, rows] = row_sum(digamma_remainder(alpha, below_one=offset < 1))
        alpha *= total.reciprocal().to(dtype)
        sums[2, rows] = -row_sum(alpha.log().mul_(alpha))
    precision, remainders, entropy = sums.squeeze(-1)
    remainder = digamma_remainder(precision)
    mkl = ((remainders - remainder) / precision).clamp_(min=0)
    mutual_information = ((classes - remainders - (1 - remainder)) / precision).clamp_(min=0)

    def per_token(values: Tensor) -> Tensor:
        return values.to(dtype).reshape(logits.shape[:-1])

    return DirichletUncertainty(
        total=per_token(entropy.clamp(min=0)),
        data=per_token((entropy - mutual_information).clamp(min=0)),
        mutual_information=per_token(mutual_information),
        epkl=per_token((classes - 1) / precision),
        mkl=per_token(mkl),
        precision=per_token(precision),
    )


def _chosen_concentration(logits: Tensor, token: Tensor, offset: float) -> Tensor:
    """alpha_y of the chosen tokens in float64, [...]."""
    chosen = logits.gather(-1, token.unsqueeze(-1)).squeeze(-1).double().clamp(max=LARGEST_LOGIT)
    return (chosen.exp() + offset).clamp(min=SMALLEST_CONCENTRATION)


@torch.no_grad()
def dirichlet_log_probability(
    logits: Tensor, token: Tensor, offset: float = 1.0, *, precision: Tensor | None = None
) -> Tensor:
    """Log-probability of ``token`` [...] under the mean of the Dirichlet, ln(alpha_y / alpha0), in nats,
    [...].

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
    """How far the expected log-probability of ``token`` lies below the log-probability of the mean, in nats,
    [...].

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
    """Variance of ln pi_y of ``token`` for pi drawn from the Dirichlet: psi1(alpha_y) - psi1(alpha0), in
    nats^2, [...].

    Given the prefix, tokens are independent, so that their sum is the variance of a hypothesis'
    log-probability. Arguments as for ``dirichlet_log_probability``.
    """
    alpha, alpha0 = _chosen(logits, token, offset, precision)
    gap = (alpha0 - alpha) / (alpha * alpha0)  # 1/alpha_y - 1/alpha0
    gap = gap + trigamma_remainder(alpha) / alpha.square() - trigamma_remainder(alpha0) / alpha0.square()
    return gap.clamp(min=0).to(working_dtype(logits.dtype))


def _chosen(logits: Tensor, token: Tensor, offset: float, precision: Tensor | None) -> tuple[Tensor, Tensor]:
    if precision is None:
        concentrations = logits.to(working_dtype(logits.dtype)).clamp(max=LARGEST_LOGIT).exp_()
        precision = row_sum(concentrations).squeeze(-1) + logits.shape[-1] * offset
    alpha = _chosen_concentration(logits, token, offset)
    return alpha, torch.maximum(precision.double(), alpha)
