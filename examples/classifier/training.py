"""Members and students: the same small network, trained on labels, or on what the members say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Generator, Tensor, nn

import ednd_nmt
from ednd_nmt import EnsembleStatistics
from ednd_nmt.annealing import annealed

Objective = Callable[[Tensor, EnsembleStatistics], Tensor]
Loss = Callable[[nn.Module, Generator, int], Tensor]
"""Of a network, on a batch that the generator chooses, after so many updates."""

ANNEALED = "EnDD: likelihood, annealed"
OBJECTIVES: Mapping[str, Objective] = {
    "EnD: KL to the mean": ednd_nmt.mean_kl_loss,
    "EnDD: likelihood": ednd_nmt.dirichlet_likelihood_loss,
    ANNEALED: ednd_nmt.dirichlet_likelihood_loss,  # at the end; see annealed_likelihood_loss
    "proxy: forward KL": ednd_nmt.forward_kl_loss,
    "proxy: reverse KL": ednd_nmt.reverse_kl_loss,
}
CATEGORICAL = ("EnD: KL to the mean",)
"""The objectives whose student emits no Dirichlet."""

WIDTH = 128
BATCH = 64
MEMBER_LEARNING_RATE = 5e-3
LEARNING_RATES = (5e-4, 2e-3, 8e-3)
"""What every objective may choose from."""
TEMPERATURE = 10.0
ANNEALING = 0.6
"""The likelihood's temperature falls to 1 in this part of the updates."""


def new_network(length: int, seed: int) -> nn.Module:
    """One hidden layer for numbers of ``length`` digits, with random weights."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(64 * length, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 10**length))


def member_loss(pixels: Tensor, values: Tensor) -> Loss:
    """Cross-entropy on a batch of the labelled numbers ``pixels`` [n, 64 length], ``values`` [n]."""

    def loss(network: nn.Module, generator: Generator, update: int) -> Tensor:
        batch = torch.randint(len(values), (BATCH,), generator=generator)
        return nn.functional.cross_entropy(network(pixels[batch]), values[batch])

    return loss


def student_loss(objective: Objective, pixels: Tensor, statistics: EnsembleStatistics) -> Loss:
    """The objective on a batch of the transfer set, ``pixels`` [n, 64 length] and what the members say of them."""

    def loss(network: nn.Module, generator: Generator, update: int) -> Tensor:
        batch = torch.randint(len(pixels), (BATCH,), generator=generator)
        return objective(network(pixels[batch]), statistics.map(lambda values: values[batch])).mean()

    return loss


def annealed_likelihood_loss(members: Sequence[nn.Module], pixels: Tensor, updates: int) -> Loss:
    """The likelihood on a batch of the transfer set ``pixels`` [n, 64 length], as in arXiv 1905.00076.

    Members and student are softened by the same temperature, which has fallen to 1 after ``ANNEALING * updates``. So
    the members have to be asked again at every update.
    """

    def loss(network: nn.Module, generator: Generator, update: int) -> Tensor:
        temperature = annealed(TEMPERATURE, 1.0, round(ANNEALING * updates), update)
        images = pixels[torch.randint(len(pixels), (BATCH,), generator=generator)]
        with torch.no_grad():
            target = ednd_nmt.ensemble_statistics([member(images) for member in members], temperature)
        return ednd_nmt.dirichlet_likelihood_loss(network(images), target, temperature=temperature).mean()

    return loss


def train(network: nn.Module, loss: Loss, updates: int, learning_rate: float, seed: int) -> nn.Module:
    """The network after ``updates`` of Adam, its rate falling to 0; the seed decides the batches."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate, fused=True)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=updates)
    for update in range(updates):
        optimizer.zero_grad()
        loss(network, generator, update).backward()
        optimizer.step()
        scheduler.step()
    return network
