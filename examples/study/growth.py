"""What every way to begin a wider student has in common: which members it takes, their positions, and the file it writes."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ednd_nmt.checkpoint_fit import configuration
from ednd_nmt.errors import UserError
from ednd_nmt.safe_weights import read_state, write_checkpoint

SIDES = ("encoder", "decoder")
SIZES = ("embed_dim", "ffn_embed_dim", "attention_heads", "input_dim", "output_dim")
"""The settings of a side that grow with it, without its name; fairseq has the last two for the decoder only."""


def read_member(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A checkpoint and its model's settings by fairseq's names.

    Raises:
        UserError: it is no checkpoint, or its model is none that can be grown (:func:`require_plain`).
    """
    state = read_state(path)
    settings = dict(getattr(configuration(state).model, "__dict__", {}))
    require_plain(settings)
    return state, settings


def require_plain(settings: Mapping[str, Any]) -> None:
    """Refuse a Transformer that cannot be grown. Wanted: layers normalised after the residual sum, sinusoidal positions.

    Raises:
        UserError: a setting is not what it has to be.
    """
    if not {"encoder_embed_dim", "decoder_layers"} <= settings.keys():
        raise UserError(
            "The member is no Transformer of fairseq's command line; only such a one can be widened."
        )
    unwanted = [f"{side}_{name}" for side in SIDES for name in ("normalize_before", "learned_pos")]
    for name in (*unwanted, "layernorm_embedding", "no_scale_embedding"):
        if settings.get(name):
            raise UserError(f"The member has {name}; it cannot be widened: train members without.")


def grown(settings: Mapping[str, Any], times: Mapping[str, int]) -> dict[str, Any]:
    """The settings of a model ``times[side]`` as wide on each side, with as many times the heads and learned positions."""
    changed = dict(settings)
    for side in SIDES:
        for size in SIZES:
            if settings.get(f"{side}_{size}") is not None:
                changed[f"{side}_{size}"] = settings[f"{side}_{size}"] * times[side]
        changed[f"{side}_learned_pos"] = True
    return changed


def grow_positions(
    weights: dict[str, torch.Tensor], settings: Mapping[str, Any], times: Mapping[str, int]
) -> None:
    """Put learned positions in the place of the sinusoidal ones of the ``settings``, beginning as ``times[side]`` copies of
    them: sinusoids of another width would be none.
    """
    from fairseq.modules import SinusoidalPositionalEmbedding

    padding = 1  # fairseq's dictionaries; positions are counted from the one after it
    for side in SIDES:
        longest = settings["max_source_positions" if side == "encoder" else "max_target_positions"]
        table = SinusoidalPositionalEmbedding.get_embedding(
            longest + padding + 1, settings[f"{side}_embed_dim"], padding
        )
        weights[f"{side}.embed_positions.weight"] = table.tile(1, times[side])
        weights.pop(f"{side}.embed_positions._float_tensor", None)


def write_start(
    state: dict[str, Any], weights: dict[str, torch.Tensor], settings: Mapping[str, Any], output: Path
) -> float:
    """Write ``weights`` in the place of the checkpoint's own, whole or not at all; the number of parameters in millions."""
    config = configuration(state)
    state["model"] = weights
    state["cfg"] = argparse.Namespace(model=argparse.Namespace(**settings), criterion=config.criterion)
    write_checkpoint(state, (config.task.source_lang, config.task.target_lang), output)
    tied = {  # tables that stand under another name already
        "decoder.embed_tokens.weight": settings.get("share_all_embeddings"),
        "decoder.output_projection.weight": settings.get("share_all_embeddings")
        or settings.get("share_decoder_input_output_embed"),
    }
    return sum(tensor.numel() for name, tensor in weights.items() if not tied.get(name)) / 1e6
