"""What a student wider than its members begins with: several of them side by side, or one in wider layers.

Both are ways to write the weights of a Transformer n times as wide, from weights by fairseq's names. A student that begins
with them has nothing to learn anew, and room for what the other members know.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from ednd_nmt.errors import UserError

SIDES = ("encoder", "decoder")
_SIZES = ("embed_dim", "ffn_embed_dim", "attention_heads", "input_dim", "output_dim")  # the last two: decoder
_SWITCHES = (
    "share_all_embeddings", "share_decoder_input_output_embed", "layernorm_embedding", "no_scale_embedding",
    "no_token_positional_embeddings", "encoder_learned_pos", "decoder_learned_pos", "encoder_normalize_before",
    "decoder_normalize_before",
)  # fmt: skip
_DEFAULTS = {"activation_fn": "relu", "max_source_positions": 1024, "max_target_positions": 1024}
_REFUSED = (
    "adaptive_input", "adaptive_softmax_cutoff", "character_embeddings", "cross_self_attention", "no_decoder_final_norm",
)  # fmt: skip
_BUFFERS = ("version", "_float_tensor")
_TABLES = ("embed_tokens.weight", "embed_positions.weight", "output_projection.weight")
# Keys and values of the decoder's attention are made of the encoder's output.
_OF_ENCODED = ("encoder_attn.k_proj.weight", "encoder_attn.v_proj.weight")

Weights = Mapping[str, Tensor]
Settings = Mapping[str, Any]


def side_by_side(members: Sequence[Weights], settings: Settings, decoders: int) -> dict[str, Tensor]:
    """One Transformer that holds n members: all of them in its encoder, the first ``decoders`` of them in its decoder.

    The members' vectors stand one after another, [x_1; ...; x_n], and every linear layer has their matrices on its
    diagonal, W = [W_1 0 ...; 0 W_2 ...; ...], so that each computes what it computed alone; training fills the zeros.
    The logits are the mean of the logits of those in the decoder, sum_m z_m / d: an ensemble that averages logarithms.
    The attention of decoder m to the source begins with encoder m alone.

    This is exact but for layer normalisation, whose mean and variance are taken over all members together: it is as if
    each had its own where they agree on both. Members that were trained alike come near it.

    With fewer decoders than members the width is where a beam search hardly pays for it, since a source is encoded once.

    Args:
        members: weights of n Transformers of one shape, with tables of positions, if they have any.
        settings: of each, by fairseq's names; of a kind that :func:`require_growable` takes.
        decoders: d, 1 to n. With fewer than n, source and target have tables of embeddings of their own.

    Returns:
        The weights; :func:`grown_settings` has their settings.
    """
    times = {"encoder": len(members), "decoder": decoders}
    grown: dict[str, Tensor] = {}
    for name, first in members[0].items():
        side = name.split(".")[0]
        tensors = [member[name] for member in members[: times[side]]]
        if name.endswith(_BUFFERS):
            grown[name] = first
        elif name.endswith(_TABLES):
            grown[name] = torch.cat(tensors, 1)
        elif first.ndim == 2:
            sources = times["encoder"] if name.endswith(_OF_ENCODED) else len(tensors)
            grown[name] = pad(torch.block_diag(*tensors), (0, first.shape[1] * (sources - len(tensors))))
        else:
            grown[name] = torch.cat(tensors)
    _scale(grown, settings, times)
    return grown


def in_copies(
    weights: Weights, settings: Settings, copies: int, generator: torch.Generator
) -> dict[str, Tensor]:
    """The function of one Transformer, computed by one ``copies`` times as wide ("Net2Net", arXiv 1511.05641).

    Every vector x becomes n copies of itself, every matrix W of the linear layers n x n blocks,

        [W/n + N_11 ... W/n + N_1n; ...; W/n + N_n1 ... W/n + N_nn] [x; ...; x] = [W x; ...; W x],    sum over j of N_ij = 0,

    whatever the noise N, which is there so that the copies get different gradients, and part. Layer normalisation over
    copies has the mean and the variance of one of them; attention has n times as many heads, as wide as before.

    Args:
        weights: a Transformer's, with tables of positions, if it has any.
        settings: its settings by fairseq's names; of a kind that :func:`require_growable` takes.
        copies: n, at least 1.
        generator: of the noise, whose standard deviation is that of W/n.

    Returns:
        The weights; :func:`grown_settings` has their settings.
    """
    grown: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if name.endswith(_BUFFERS):
            grown[name] = tensor
        elif name.endswith(_TABLES):
            grown[name] = tensor.tile(1, copies)
        elif tensor.ndim == 2:
            grown[name] = _blocks(tensor, copies, generator)
        else:
            grown[name] = tensor.tile(copies)
    _scale(grown, settings, dict.fromkeys(SIDES, copies))
    return grown


def _blocks(matrix: Tensor, copies: int, generator: torch.Generator) -> Tensor:
    rows, columns = matrix.shape
    noise = torch.randn(copies * rows, copies, columns, generator=generator, dtype=torch.float64)
    noise = (noise - noise.mean(1, keepdim=True)).flatten(1) * (matrix.double().std() / copies)
    return (matrix.double().tile(copies, copies) / copies + noise).to(matrix.dtype)


def _scale(grown: dict[str, Tensor], settings: Settings, times: Mapping[str, int]) -> None:
    """Make up for fairseq's factor of embeddings, the square root of the width, and for logits that are sums."""
    tied = settings.get("share_all_embeddings") or settings.get("share_decoder_input_output_embed")
    divisors = {side: 1.0 if settings.get("no_scale_embedding") else math.sqrt(times[side]) for side in SIDES}
    for side in SIDES:
        grown[f"{side}.embed_tokens.weight"] = grown[f"{side}.embed_tokens.weight"] / divisors[side]
    if tied:
        grown["decoder.output_projection.weight"] = grown["decoder.embed_tokens.weight"]
    last = (
        "" if settings.get("decoder_normalize_before") else f"layers.{settings['decoder_layers'] - 1}.final_"
    )
    for part in ("weight", "bias"):
        name = f"decoder.{last}layer_norm.{part}"
        grown[name] = grown[name] / (times["decoder"] / (divisors["decoder"] if tied else 1))


def grown_settings(settings: Settings, times: Mapping[str, int]) -> dict[str, Any]:
    """The settings of a Transformer ``times[side]`` as wide on each side, as many times the heads, positions in a table."""
    changed = dict(settings)
    for side in SIDES:
        for size in _SIZES:
            if settings.get(f"{side}_{size}") is not None:
                changed[f"{side}_{size}"] = settings[f"{side}_{size}"] * times[side]
        changed[f"{side}_learned_pos"] = not settings.get("no_token_positional_embeddings")
    if times["encoder"] != times["decoder"] and settings.get("share_all_embeddings"):
        changed |= {"share_all_embeddings": False, "share_decoder_input_output_embed": True}
    return changed


def training_options(settings: Settings) -> list[str]:
    """What ``fairseq-train`` has to be told for a model of these settings, beside ``--arch dirichlet_transformer``."""
    options = []
    for side in SIDES:
        for size in ("layers", *_SIZES):
            value = settings.get(f"{side}_{size}")
            if value is None or (
                size in ("input_dim", "output_dim") and value == settings["decoder_embed_dim"]
            ):
                continue
            options += [f"--{side}_{size}".replace("_", "-"), str(value)]
    for name, default in _DEFAULTS.items():
        if settings.get(name, default) != default:
            options += ["--" + name.replace("_", "-"), str(settings[name])]
    implied = {"share_decoder_input_output_embed"} if settings.get("share_all_embeddings") else set()
    switches = [name for name in _SWITCHES if settings.get(name) and name not in implied]
    return options + ["--" + name.replace("_", "-") for name in switches]


def parameters(weights: Weights, settings: Settings) -> int:
    """How many parameters the weights are; a table of embeddings that stands there under several names counts once."""
    tied = {
        "decoder.embed_tokens.weight": settings.get("share_all_embeddings"),
        "decoder.output_projection.weight": settings.get("share_all_embeddings")
        or settings.get("share_decoder_input_output_embed"),
    }
    return sum(
        tensor.numel()
        for name, tensor in weights.items()
        if not tied.get(name) and not name.endswith(_BUFFERS)
    )


def require_growable(settings: Settings) -> None:
    """Refuse a model that this module does not know how to widen.

    Raises:
        UserError: it is no Transformer of fairseq's command line, or has a part that is not widened.
    """
    if not {"encoder_embed_dim", "decoder_layers"} <= settings.keys():
        raise UserError(
            "The member is no Transformer of fairseq's command line; only such a one can be widened."
        )
    for name in _REFUSED:
        if settings.get(name):
            raise UserError(
                f"The member has {name} = {settings[name]}, which cannot be widened; train members without."
            )


def require_alike(first: Weights, other: Weights, first_settings: Settings, settings: Settings) -> None:
    """Refuse two members that do not fit side by side.

    Raises:
        UserError: they differ in the shape of a tensor, or in a setting that their weights do not show.
    """
    for name in (*_SWITCHES, *_DEFAULTS, "encoder_attention_heads", "decoder_attention_heads"):
        values = [found.get(name, _DEFAULTS.get(name)) or False for found in (first_settings, settings)]
        if values[0] != values[1]:
            raise UserError(
                f"It has {name} = {values[1]}, the first member {values[0]}; give members of one architecture."
            )
    for name in sorted(first.keys() | other.keys()):
        shapes = [list(weights[name].shape) if name in weights else "missing" for weights in (first, other)]
        if shapes[0] != shapes[1]:
            raise UserError(
                f"Its {name} is {shapes[1]}, the first member's {shapes[0]}; give members of one architecture and one"
                " dictionary."
            )
