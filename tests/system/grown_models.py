"""Checkpoints and their logits, to compare a wider start with the members it is made of."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from random_models import RandomModels
from toy_reversal import ToyReversal

from ednd_nmt.safe_weights import read_state, write_checkpoint


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


def changed(
    path: Path,
    output: Path,
    weights: Callable[[str, torch.Tensor], torch.Tensor] = lambda name, tensor: tensor,
    **settings: object,
) -> Path:
    """The model at ``path`` with every tensor as ``weights(name, tensor)`` has it, and with some settings changed."""
    state = read_state(path)
    config = state["cfg"]
    state["model"] = {name: weights(name, tensor) for name, tensor in state["model"].items()}
    model = argparse.Namespace(**(vars(config["model"]) | settings))
    state["cfg"] = argparse.Namespace(model=model, criterion=config["criterion"])
    write_checkpoint(state, (config["task"].source_lang, config["task"].target_lang), output)
    return output


def unshared(path: Path, output: Path) -> Path:
    """The same function with two tables of embeddings that begin alike, the decoder's being that of its logits."""
    return changed(path, output, share_all_embeddings=False, share_decoder_input_output_embed=True)
