"""The share of an objective's gradient that falls on the top class, on its rivals and on the tail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

import ednd_nmt
from ednd_nmt import EnsembleStatistics

Objective = Callable[[Tensor, EnsembleStatistics], Tensor]

OBJECTIVES: Mapping[str, Objective] = {
    "likelihood": ednd_nmt.dirichlet_likelihood_loss,
    "proxy, forward KL": ednd_nmt.forward_kl_loss,
    "proxy, reverse KL": ednd_nmt.reverse_kl_loss,
}

GROUPS = {"top class": slice(0, 1), "next 9": slice(1, 10), "tail": slice(10, None)}
"""Classes by rank: class 0 is the ensemble's favourite, class 1 its first rival, and so on."""


MEMBERS, TOP, SPREAD = 10, 0.9, 1.0


def sample_ensemble(
    classes: int, tokens: int, seed: int, *, top: float = TOP, spread: float = SPREAD
) -> EnsembleStatistics:
    """An ensemble that is fairly sure of class 0; the rest is distributed as in language, by Zipf's law.

    Every member's logits are ``ln q_k`` plus normal noise, with q_0 = ``top`` and ``q_k = (1 - top) / (k H)`` for
    k > 0, H the harmonic number of K - 1; so the top class keeps its probability while the tail grows.

    Args:
        classes: K > 1.
        tokens: number of independent samples.
        spread: standard deviation of the noise, the members' disagreement in nats of every logit.

    Returns:
        Statistics [tokens, K] in float64, so that no gradient below is rounding.
    """
    generator = torch.Generator().manual_seed(seed)
    ranks = torch.arange(1, classes, dtype=torch.float64)
    tail = (1 - top) / ranks / (1 / ranks).sum()
    logits = torch.cat([torch.tensor([top], dtype=torch.float64), tail]).log()

    def member() -> Tensor:
        noise = torch.randn(tokens, classes, generator=generator, dtype=torch.float64)
        return logits + spread * noise

    return ednd_nmt.ensemble_statistics(member() for _ in range(MEMBERS))


def uniform_student(statistics: EnsembleStatistics) -> Tensor:
    """A student before training: all logits 0, [tokens, K]."""
    return torch.zeros_like(statistics.mean)


def mistaken_student(statistics: EnsembleStatistics) -> Tensor:
    """A student at the proxy target, but for its first two classes, which are exchanged: sure of the rival, [tokens, K]."""
    target = ednd_nmt.proxy_target(statistics)
    logits = target.concentrations(offset=0.0).log()
    logits[:, [0, 1]] = logits[:, [1, 0]]
    return logits


def gradient(objective: Objective, logits: Tensor, statistics: EnsembleStatistics) -> Tensor:
    """The gradient of each token's loss in its own logits, [tokens, K]."""
    logits = logits.detach().requires_grad_()
    (result,) = torch.autograd.grad(objective(logits, statistics).sum(), logits)
    return result


def group_shares(gradient: Tensor) -> dict[str, Tensor]:
    """The part of the gradient's L1 norm that lies in each of ``GROUPS``; [tokens] each, 1 in sum."""
    size = gradient.abs()
    total = size.sum(-1)
    return {name: size[:, classes].sum(-1) / total for name, classes in GROUPS.items()}


class Stage(NamedTuple):
    """A student on its way: means over the tokens."""

    update: int
    shares: dict[str, float]
    top_probability: float  # of class 0 under softmax(logits), the mode of the student's Dirichlet
    divergence: float  # KL(mean of the ensemble || softmax(logits)), nats


def train(objective: Objective, statistics: EnsembleStatistics, updates: int) -> list[Stage]:
    """Gradient descent on the logits of every token from the uniform student, in steps of bounded length.

    A step moves a token's logits against its gradient by the L2 length 1, or less once it overshoots: the length is halved
    when the gradient has turned by more than a right angle, and otherwise grows by a tenth up to 1. The objectives'
    gradients differ by orders of magnitude; a bounded step is what clipping or an adaptive optimiser makes of them, and it
    leaves each the same budget, to be spent on the classes in proportion to its gradient.

    Returns:
        The stages before each update, and the last student.
    """
    logits = uniform_student(statistics)
    length = torch.ones_like(logits[:, :1])
    before = torch.zeros_like(logits)
    stages = []
    for update in range(updates + 1):
        direction = gradient(objective, logits, statistics)
        stages.append(
            Stage(
                update,
                {name: float(share.mean()) for name, share in group_shares(direction).items()},
                float(logits.softmax(-1)[:, 0].mean()),
                float(ednd_nmt.mean_kl_loss(logits, statistics).mean()),
            )
        )
        overshot = (direction * before).sum(-1, keepdim=True) < 0
        length = torch.where(overshot, length / 2, (1.1 * length).clamp(max=1))
        logits = logits - length * direction / direction.norm(dim=-1, keepdim=True)
        before = direction
    return stages
