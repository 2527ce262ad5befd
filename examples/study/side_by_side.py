"""A start for a student wider than its members: several of them side by side in one Transformer.

    python -m examples.study.side_by_side members/1/model.pt members/2/model.pt --output pair.pt
    python -m examples.study.side_by_side members/*/model.pt --decoders 1 --output encoders.pt

The vectors of the members stand one after another, [x_1; ...; x_n], and every linear layer has the members' matrices on its
diagonal, W = [W_1 0 ...; 0 W_2 ...; ...], so that each computes what it computed alone; training fills the zeros, and so
lets them speak to each other. Embeddings are divided by sqrt(n), since fairseq multiplies them by the square root of the
width, and the decoder's last layer normalisation likewise, so that the logits are the mean of the members' logits.

That would be the members' geometric mean, but for layer normalisation, whose mean and variance are taken over all members
together: it is exact where they agree on both, and near it for members trained alike.

With ``--decoders d`` the decoder has the first d members only, the encoder all of them: width where a beam search hardly
pays for it, since it encodes a source once. The attention of decoder i begins with its own member's encoder.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import pad

from ednd_nmt.errors import UserError, exit_status
from examples.study.growth import grow_positions, grown, read_member, write_start


def side_by_side(
    members: Sequence[Mapping[str, torch.Tensor]], settings: Mapping[str, Any], decoders: int
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Weights and settings of the Transformer that holds ``members`` in its encoder and the first of them in its decoder.

    Args:
        members: weights of n fairseq Transformers of the same shape, by their names, of a kind that
            :func:`~examples.study.growth.require_plain` takes.
        settings: the settings of each, by fairseq's names.
        decoders: how many of them the decoder has, 1 to n. With fewer than n, source and target have tables of embeddings
            of their own.
    """
    times = {"encoder": len(members), "decoder": decoders}
    last = f"decoder.layers.{settings['decoder_layers'] - 1}.final_layer_norm."
    together: dict[str, torch.Tensor] = {}
    for name, first in members[0].items():
        side = name.split(".")[0]
        tensors = [member[name] for member in members[: times[side]]]
        if name.endswith(("version", "_float_tensor")):
            together[name] = first
        elif name.endswith(("embed_tokens.weight", "output_projection.weight")):
            together[name] = torch.cat(tensors, 1) / math.sqrt(len(tensors))
        elif first.ndim == 2:
            # Keys and values of the decoder's attention are made of the encoder's output, which has all members.
            sources = times["encoder"] if name.endswith(ENCODED) else times[side]
            diagonal = torch.block_diag(*tensors)
            together[name] = pad(diagonal, (0, first.shape[1] * (sources - len(tensors))))
        else:
            together[name] = torch.cat(tensors) / (math.sqrt(len(tensors)) if name.startswith(last) else 1)
    grow_positions(together, settings, times)
    changed = grown(settings, times)
    if decoders < len(members) and settings.get("share_all_embeddings"):
        changed |= {"share_all_embeddings": False, "share_decoder_input_output_embed": True}
    return together, changed


ENCODED = ("encoder_attn.k_proj.weight", "encoder_attn.v_proj.weight")


def require_alike(first: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor], path: Path) -> None:
    """Refuse a member of another shape than the first.

    Raises:
        UserError: a tensor is missing, or of another shape.
    """
    for name in sorted(first.keys() | other.keys()):
        shapes = [list(weights[name].shape) if name in weights else None for weights in (first, other)]
        if shapes[0] != shapes[1]:
            raise UserError(
                f"{path} is not of the first member's shape: {name} is {shapes[1] or 'missing'}, not"
                f" {shapes[0] or 'missing'}. Give members of one architecture and one dictionary."
            )


def main(arguments: list[str] | None = None) -> int:
    """``python -m examples.study.side_by_side``."""
    parser = argparse.ArgumentParser(description="Write one Transformer that holds several side by side.")
    parser.add_argument("members", type=Path, nargs="+", metavar="CHECKPOINT")
    parser.add_argument(
        "--decoders",
        type=int,
        metavar="N",
        help="how many of the members, from the first, the decoder has (all)",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="CHECKPOINT")
    options = parser.parse_args(arguments)

    def run() -> None:
        count = len(options.members)
        decoders = count if options.decoders is None else options.decoders
        if not 1 <= decoders <= count:
            raise UserError(
                f"--decoders is {decoders}; give a number from 1 to that of the members, {count}."
            )
        state, settings = read_member(options.members[0])
        members = [state["model"]]
        for path in options.members[1:]:
            other, other_settings = read_member(path)
            require_alike(members[0], other["model"], path)
            for name in ("encoder_attention_heads", "decoder_attention_heads"):
                if other_settings[name] != settings[name]:
                    raise UserError(
                        f"{path} has {name} = {other_settings[name]}, the first member {settings[name]}."
                        " Give members of one architecture."
                    )
            members.append(other["model"])
        weights, changed = side_by_side(members, settings, decoders)
        millions = write_start(state, weights, changed, options.output)
        print(
            f"{options.output}: {count} encoders and {decoders} decoder{'s' * (decoders > 1)} side by side,"
            f" {millions:.2f} million parameters"
        )

    return exit_status(run)


if __name__ == "__main__":
    sys.exit(main())
