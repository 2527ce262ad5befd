"""A start for a student wider than its members: the function of one of them, computed by a Transformer of n times the width.

    python -m examples.study.widen members/1/model.pt --times 2 --seed 1 --output wider.pt

Every vector x of the member becomes n copies of itself, every matrix W of its linear layers n x n blocks,

    [W/n + N_11 ... W/n + N_1n; ...; W/n + N_n1 ... W/n + N_nn] [x; ...; x] = [W x; ...; W x],    sum over j of N_ij = 0,

whatever the noise N; it is there so that the copies get different gradients, and part (function-preserving growth: Chen,
Goodfellow and Shlens, "Net2Net", ICLR 2016). Layer normalisation over copies has the mean and the variance of one of them;
attention has n times as many heads, as wide as before. Embeddings are divided by sqrt(n), since fairseq multiplies them by
the square root of the width, and the decoder's last layer normalisation likewise, since the logits are sums over n copies.
Sinusoidal positions of another width are no copies of the old ones: they become learned ones that begin as copies.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ednd_nmt.checkpoint_fit import configuration
from ednd_nmt.errors import UserError, exit_status
from ednd_nmt.safe_weights import read_state, write_checkpoint

SIDES = ("encoder", "decoder")
WIDTHS = [
    f"{side}_{size}" for side in SIDES for size in ("embed_dim", "ffn_embed_dim", "attention_heads")
] + [
    "decoder_input_dim",
    "decoder_output_dim",
]
"""The settings that are multiplied."""


def widen(
    weights: Mapping[str, torch.Tensor], settings: Mapping[str, Any], times: int, generator: torch.Generator
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Weights and settings of a Transformer that is ``times`` as wide and computes the same function.

    Args:
        weights: a fairseq Transformer's, by their names; layers normalised after the residual sum, one table of embeddings
            for source, target and logits, sinusoidal positions.
        settings: its settings by fairseq's names.
        times: n, at least 1.
        generator: of the noise, whose standard deviation is that of W/n.

    Raises:
        UserError: the Transformer is of another kind.
    """
    require_plain(settings)
    last = f"decoder.layers.{settings['decoder_layers'] - 1}.final_layer_norm."
    wider: dict[str, torch.Tensor] = {}
    for name, tensor in weights.items():
        if name.endswith(("version", "_float_tensor")):
            wider[name] = tensor
        elif name.endswith(("embed_tokens.weight", "output_projection.weight")):
            wider[name] = tensor.tile(1, times) / math.sqrt(times)
        elif tensor.ndim == 2:
            wider[name] = _blocks(tensor, times, generator)
        else:
            wider[name] = tensor.tile(times) / (math.sqrt(times) if name.startswith(last) else 1)
    changed = dict(settings) | {
        name: settings[name] * times for name in WIDTHS if settings.get(name) is not None
    }
    for side in SIDES:
        wider[f"{side}.embed_positions.weight"] = _sinusoids(settings, side).tile(1, times)
        wider.pop(f"{side}.embed_positions._float_tensor", None)
        changed[f"{side}_learned_pos"] = True
    return wider, changed


def require_plain(settings: Mapping[str, Any]) -> None:
    """Refuse a Transformer that :func:`widen` is not written for.

    Raises:
        UserError: a setting is not what it has to be.
    """
    if not {"encoder_embed_dim", "decoder_layers"} <= settings.keys():
        raise UserError(
            "The member is no Transformer of fairseq's command line; only such a one can be widened."
        )
    wanted = {"share_all_embeddings": True, "layernorm_embedding": False, "no_scale_embedding": False}
    wanted |= {f"{side}_{name}": False for side in SIDES for name in ("normalize_before", "learned_pos")}
    for name, value in wanted.items():
        if bool(settings.get(name)) is not value:
            raise UserError(
                f"The member has {name} = {settings.get(name)}; only {value} can be widened: train members so."
            )


def _blocks(matrix: torch.Tensor, times: int, generator: torch.Generator) -> torch.Tensor:
    rows, columns = matrix.shape
    noise = torch.randn(times * rows, times, columns, generator=generator, dtype=torch.float64)
    noise = (noise - noise.mean(1, keepdim=True)).flatten(1) * (matrix.double().std() / times)
    return (matrix.double().tile(times, times) / times + noise).to(matrix.dtype)


def _sinusoids(settings: Mapping[str, Any], side: str) -> torch.Tensor:
    from fairseq.modules import SinusoidalPositionalEmbedding

    padding = 1  # fairseq's dictionaries; positions are counted from the one after it
    longest = settings["max_source_positions" if side == "encoder" else "max_target_positions"]
    table: torch.Tensor = SinusoidalPositionalEmbedding.get_embedding(
        longest + padding + 1, settings[f"{side}_embed_dim"], padding
    )
    return table


def main(arguments: list[str] | None = None) -> int:
    """``python -m examples.study.widen``."""
    parser = argparse.ArgumentParser(
        description="Write a wider Transformer that computes the function of another."
    )
    parser.add_argument("member", type=Path, metavar="CHECKPOINT")
    parser.add_argument("--times", type=int, default=2, metavar="N", help="how many times as wide (2)")
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="of the noise between the copies (1)"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="CHECKPOINT")
    options = parser.parse_args(arguments)

    def run() -> None:
        if options.times < 1:
            raise UserError(f"--times is {options.times}; give at least 1.")
        state = read_state(options.member)
        config = configuration(state)
        weights, settings = widen(
            state["model"],
            dict(getattr(config.model, "__dict__", {})),
            options.times,
            torch.Generator().manual_seed(options.seed),
        )
        state["model"] = weights
        state["cfg"] = argparse.Namespace(model=argparse.Namespace(**settings), criterion=config.criterion)
        write_checkpoint(state, (config.task.source_lang, config.task.target_lang), options.output)
        shared = (
            "decoder.embed_tokens.weight",
            "decoder.output_projection.weight",
        )  # with the encoder's embeddings
        millions = sum(tensor.numel() for name, tensor in weights.items() if name not in shared) / 1e6
        print(
            f"{options.output}: {options.times} times as wide as {options.member}, {millions:.2f} million parameters"
        )

    return exit_status(run)


if __name__ == "__main__":
    sys.exit(main())
