"""The uncertainties of an ensemble of Dirichlet students: a mixture of Dirichlet distributions over distributions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ednd_nmt.dirichlet import (
    LARGEST_LOGIT,
    concentrations,
    dirichlet_uncertainty,
    exponentials_and_precision,
    log_concentrations,
)
from ednd_nmt.ensemble import ensemble_statistics
from ednd_nmt.rows import row_blocks, row_sum, working_dtype
from ednd_nmt.special import digamma_remainder


@dataclass(frozen=True)
class DirichletMixtureUncertainty:
    """Measures of a mixture of Dirichlet distributions, in nats, each [...] but for ``mean`` [..., K].

    ``total`` = ``data`` + ``mutual_information``, ``epkl`` = ``mutual_information`` + ``mkl``, and none is negative. A
    mixture is no Dirichlet and has no precision.
    """

    mean: Tensor
    total: Tensor
    data: Tensor
    mutual_information: Tensor
    epkl: Tensor
    mkl: Tensor


@torch.no_grad()
def dirichlet_mixture_uncertainty(
    member_logits: Sequence[Tensor], offset: float = 1.0, weights: Tensor | None = None
) -> DirichletMixtureUncertainty:
    """Uncertainty measures of the mixture ``sum_m w_m Dir(alpha_m)``, ``alpha_m = exp(z_m) + offset``.

    A distribution pi is drawn by drawing a student m with probability w_m and then pi from its Dirichlet. With the means
    ``p_m = alpha_m / alpha0_m``, ``pbar = E pi = sum_m w_m p_m``, and DU_m = E H[pi] and MI_m of student m alone::

        total = H[pbar]
        data  = E H[pi] = sum_m w_m DU_m
        mutual_information = total - data
              = (H[pbar] - sum_m w_m H[p_m]) + sum_m w_m (H[p_m] - DU_m)
              = MI(p_1..p_M) + sum_m w_m MI_m
        mkl   = E KL(pbar || pi) = sum_k pbar_k (ln pbar_k - sum_m w_m E_m ln pi_k)
              = MKL(p_1..p_M) + sum_m w_m sum_k pbar_k (ln p_mk - E_m ln pi_k)
              = MKL(p_1..p_M) + sum_m w_m [sum_k pbar_k h(alpha_mk) - h(alpha0_m)]
        epkl  = E KL(pi || pi') = mutual_information + mkl    for independent draws pi, pi' of the mixture

    where ``h(x) = ln x - psi(x)``, since ``E_m ln pi_k = psi(alpha_mk) - psi(alpha0_m)``, and MI(p_1..p_M) and
    MKL(p_1..p_M) are those of the ensemble of means (:func:`ednd_nmt.ensemble.ensemble_statistics`): what the students
    disagree about comes on top of what each does not know. One student has the measures of its Dirichlet; sure students
    (large alpha0) have those of an ensemble of plain models.

    Args:
        member_logits: z_m, one tensor [..., K] per student, any floating dtype.
        offset: the students', >= 0.
        weights: w [..., M], not negative and 1 in sum; None is 1/M.

    Returns:
        Float64 for float64 logits, else float32; sums over K are carried in float64.

    Raises:
        UserError: no student, or students of different shapes.

    >>> alike = dirichlet_mixture_uncertainty([torch.zeros(3), torch.zeros(3)])
    >>> round(float(alike.mutual_information), 6), round(float(alike.mkl), 6)
    (0.148612, 0.184721)
    """
    means = ensemble_statistics(
        [log_concentrations(logits.clamp(max=LARGEST_LOGIT), offset) for logits in member_logits],
        1.0,
        weights,
    )
    information = torch.zeros_like(means.mkl, dtype=torch.float64)
    spread = torch.zeros_like(information)
    for member, logits in enumerate(member_logits):
        weight = 1 / len(member_logits) if weights is None else weights[..., member].double()
        information += weight * dirichlet_uncertainty(logits, offset).mutual_information
        spread += weight * _spread(logits, offset, means.mean)
    mutual_information = (means.mutual_information + information).to(means.mkl.dtype)
    mkl = (means.mkl + spread).to(means.mkl.dtype)
    return DirichletMixtureUncertainty(
        mean=means.mean,
        total=means.entropy_of_mean,
        data=(means.expected_entropy - information).clamp(min=0).to(means.mkl.dtype),
        mutual_information=mutual_information,
        epkl=mutual_information + mkl,
        mkl=mkl,
    )


def _spread(logits: Tensor, offset: float, mean: Tensor) -> Tensor:
    """sum_k pbar_k h(alpha_k) - h(alpha0) of one student, float64 [...]; at least 0, since h falls and alpha_k <= alpha0."""
    flat, weights = logits.reshape(-1, logits.shape[-1]), mean.reshape(-1, mean.shape[-1])
    result = torch.empty(len(flat), dtype=torch.float64, device=logits.device)
    for rows in row_blocks(flat):
        block = flat[rows].to(working_dtype(logits.dtype))
        exponential, alpha0 = exponentials_and_precision(block, offset)
        alpha = concentrations(exponential, offset)
        h = digamma_remainder(alpha, below_one=offset < 1) / alpha
        result[rows] = (row_sum(h.mul_(weights[rows])) - digamma_remainder(alpha0) / alpha0).squeeze(-1)
    return result.clamp_(min=0).reshape(logits.shape[:-1])
