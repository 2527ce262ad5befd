"""The objectives written as their definitions, in float64 with PyTorch's own special functions and autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ednd_nmt.ensemble import EnsembleStatistics


def concentrations(logits: Tensor, offset: float) -> tuple[Tensor, Tensor]:
    alpha = logits.exp() + offset
    return alpha, alpha.sum(-1)


def kl_of_dirichlets(alpha: Tensor, beta: Tensor) -> Tensor:
    """KL(Dir(alpha) || Dir(beta)), [...]."""
    p = torch.distributions.Dirichlet(alpha, validate_args=False)
    q = torch.distributions.Dirichlet(beta, validate_args=False)
    return torch.distributions.kl_divergence(p, q)


def target_precision(statistics: EnsembleStatistics, concentration: str) -> Tensor:
    disagreement = 2 * statistics.mkl if concentration == "mkl" else statistics.epkl
    classes = statistics.mean.shape[-1]
    return ((classes - 1) / disagreement.double()).clamp(max=5e5 * (classes - 1))


def mean_kl(logits: Tensor, statistics: EnsembleStatistics) -> Tensor:
    return torch.nn.functional.kl_div(logits.log_softmax(-1), statistics.mean.double(), reduction="none").sum(
        -1
    )


def likelihood(
    logits: Tensor, statistics: EnsembleStatistics, offset: float = 1.0, temperature: float = 1.0
) -> Tensor:
    alpha, alpha0 = concentrations(logits / temperature, offset)
    log_density = alpha0.lgamma() - alpha.lgamma().sum(-1)
    log_density = log_density + ((alpha - 1) * statistics.log_mean.double()).sum(-1)
    return -(temperature**2) * log_density


def forward_kl(
    logits: Tensor,
    statistics: EnsembleStatistics,
    offset: float = 1.0,
    concentration: str = "mkl",
    target_offset: float = 1.0,
) -> Tensor:
    alpha, _ = concentrations(logits, offset)
    precision = target_precision(statistics, concentration).unsqueeze(-1)
    return kl_of_dirichlets(statistics.mean.double() * precision + target_offset, alpha)


def reverse_kl(
    logits: Tensor,
    statistics: EnsembleStatistics,
    offset: float = 1.0,
    concentration: str = "mkl",
    prior_weight: str = "paper",
    target_offset: float = 1.0,
) -> Tensor:
    alpha, alpha0 = concentrations(logits, offset)
    weight = target_precision(statistics, concentration)
    if prior_weight == "released":
        weight = weight + logits.shape[-1] * target_offset
    expected_log = alpha.digamma() - alpha0.digamma().unsqueeze(-1)
    reconstruction = -(statistics.mean.double() * expected_log).sum(-1)
    return reconstruction + kl_of_dirichlets(alpha, torch.full_like(alpha, target_offset)) / weight


def value_and_gradient(
    dense: Callable[..., Tensor], logits: Tensor, statistics: EnsembleStatistics, **options: Any
) -> tuple[Tensor, Tensor]:
    """Per-token values and the gradient of their sum, both float64."""
    leaf = logits.detach().double().requires_grad_()
    loss = dense(leaf, statistics, **options)
    (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    return loss.detach(), gradient
