"""Members of several kinds, and the logits of checkpoints, to compare a wider start with what it is made of."""

from __future__ import annotations

import functools
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from random_models import RandomModels
from toy_reversal import ToyReversal

from ednd_nmt.safe_weights import read_state, write_checkpoint

KINDS: dict[str, dict[str, Any]] = {
    "plain": {"share_all_embeddings": True},
    "two tables": {"share_all_embeddings": False, "share_decoder_input_output_embed": True},
    "three tables": {"share_all_embeddings": False},
    "normalised before": {"encoder_normalize_before": True, "decoder_normalize_before": True},
    "learned positions": {"encoder_learned_pos": True, "decoder_learned_pos": True},
    "no positions": {"no_token_positional_embeddings": True},
    "embeddings normalised": {"layernorm_embedding": True, "no_scale_embedding": True},
}
"""Settings of fairseq's Transformer, beside :data:`SIZE`."""
SIZE = {
    "encoder_layers": 2, "decoder_layers": 2, "encoder_embed_dim": 16, "encoder_ffn_embed_dim": 32, "decoder_embed_dim": 16,
    "decoder_ffn_embed_dim": 32, "encoder_attention_heads": 2, "decoder_attention_heads": 2, "max_source_positions": 64,
    "max_target_positions": 60, "share_all_embeddings": True,
}  # fmt: skip


@functools.cache
def task_of(data: Path) -> Any:
    """The task that models of the toy data are built with."""
    return RandomModels(data).task


def write_member(toy: ToyReversal, path: Path, seed: int = 1, **settings: Any) -> Path:
    """A member with random weights, all of them: as they come from fairseq, biases and normalisations do nothing."""
    from fairseq.models import ARCH_CONFIG_REGISTRY

    arguments = Namespace(arch="transformer", _name="transformer", **(SIZE | settings))
    ARCH_CONFIG_REGISTRY["transformer"](arguments)
    torch.manual_seed(seed)
    model = task_of(toy.data).build_model(arguments, from_checkpoint=True)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter += 0.3 * torch.randn_like(parameter)
            elif name.endswith("output_projection.weight"):
                parameter *= 3  # so that it has opinions
    state = {
        "model": model.state_dict(),
        "cfg": Namespace(model=arguments, criterion=Namespace(_name="cross_entropy")),
        "optimizer_history": [{"num_updates": 1}],
    }
    write_checkpoint(state, ("src", "tgt"), path)
    return path


def same_statistics(path: Path, output: Path) -> Path:
    """Other logits by other weights, whose layer normalisations see the same means and variances.

    The units of the feed-forward layers are in another order, queries, keys and values of attention are turned round, and
    the last normalisation is scaled and shifted.
    """
    state = read_state(path)
    generator = torch.Generator().manual_seed(3)
    order = torch.randperm(32, generator=generator)
    sign = torch.where(torch.rand(16, generator=generator) < 0.5, -1.0, 1.0)
    last = (
        "decoder.layer_norm"
        if "decoder.layer_norm.weight" in state["model"]
        else "decoder.layers.1.final_layer_norm"
    )

    def change(name: str, tensor: torch.Tensor) -> torch.Tensor:
        if ".fc1." in name:
            return tensor[order]
        if name.endswith("fc2.weight"):
            return tensor[:, order]
        if any(part in name for part in ("q_proj", "k_proj", "v_proj")):
            return (tensor.T * sign).T
        if name.endswith("out_proj.weight"):
            return tensor * sign
        return tensor * 1.7 - 0.2 if name.startswith(last) else tensor

    state["model"] = {name: change(name, tensor) for name, tensor in state["model"].items()}
    write_checkpoint(state, ("src", "tgt"), output)
    return output


def logits(path: Path, toy: ToyReversal) -> torch.Tensor:
    """Of a batch of sources of several lengths, in float64."""
    from fairseq import checkpoint_utils

    models, _, _ = checkpoint_utils.load_model_ensemble_and_task([str(path)], task=task_of(toy.data))
    model = models[0].double().eval()
    generator = torch.Generator().manual_seed(0)
    source = torch.randint(4, 20, (3, 7), generator=generator)
    source[0, :3] = 1  # padding is on the left
    output, _ = model(source, torch.tensor([4, 7, 7]), torch.randint(4, 20, (3, 5), generator=generator))
    assert isinstance(output, torch.Tensor)
    return output.detach()
