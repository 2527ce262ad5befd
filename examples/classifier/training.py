"""Members and students: the same small network, trained on labels, or on what the members say."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Generator, Tensor, nn

import ednd_nmt
from ednd_nmt import EnsembleStatistics

Objective = Callable[[Tensor, EnsembleStatistics], Tensor]

OBJECTIVES: Mapping[str, Objective] = {
    "EnD: KL to the mean": ednd_nmt.mean_kl_loss,
    "EnDD: likelihood": ednd_nmt.dirichlet_likelihood_loss,
    "proxy: forward KL": ednd_nmt.forward_kl_loss,
    "proxy: reverse KL": ednd_nmt.reverse_kl_loss,
}
CATEGORICAL = ("EnD: KL to the mean",)
"""The objectives whose student emits no Dirichlet."""

WIDTH = 128
BATCH = 64
LEARNING_RATE = 5e-3


def member_loss(pixels: Tensor, values: Tensor) -> Callable[[nn.Module, Generator], Tensor]:
    """Cross-entropy on a batch of the labelled numbers ``pixels`` [n, 64 length], ``values`` [n]."""

    def loss(network: nn.Module, generator: Generator) -> Tensor:
        batch = torch.randint(len(values), (BATCH,), generator=generator)
        return nn.functional.cross_entropy(network(pixels[batch]), values[batch])

    return loss


def student_loss(
    objective: Objective, pixels: Tensor, statistics: EnsembleStatistics
) -> Callable[[nn.Module, Generator], Tensor]:
    """The objective on a batch of the transfer set, ``pixels`` [n, 64 length] and what the members say of them."""

    def loss(network: nn.Module, generator: Generator) -> Tensor:
        batch = torch.randint(len(pixels), (BATCH,), generator=generator)
        return objective(network(pixels[batch]), statistics.map(lambda values: values[batch])).mean()

    return loss


def train_network(
    loss: Callable[[nn.Module, Generator], Tensor], length: int, updates: int, seed: int
) -> nn.Module:
    """A network with one hidden layer for numbers of ``length`` digits, trained by Adam, its rate falling to 0.

    The seed decides the first weights and the batches.
    """
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(64 * length, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 10**length))
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=updates)
    for _ in range(updates):
        optimizer.zero_grad()
        loss(network, generator).backward()
        optimizer.step()
        scheduler.step()
    return network
