"""Logits of a checkpoint, to compare a wider start with the members it is made of."""

from __future__ import annotations

from pathlib import Path

import torch
from random_models import RandomModels
from toy_reversal import ToyReversal


def logits(path: Path, toy: ToyReversal) -> torch.Tensor:
    """Of a batch of sources of several lengths, in float64."""
    from fairseq import checkpoint_utils

    task = RandomModels(toy.data).task
    models, _, _ = checkpoint_utils.load_model_ensemble_and_task([str(path)], task=task)
    model = models[0].double().eval()
    generator = torch.Generator().manual_seed(0)
    source = torch.randint(4, 20, (3, 7), generator=generator)
    source[0, :3] = 1  # padding is on the left
    output, _ = model(source, torch.tensor([4, 7, 7]), torch.randint(4, 20, (3, 5), generator=generator))
    assert isinstance(output, torch.Tensor)
    return output.detach()
