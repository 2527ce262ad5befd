"""``ednd-nmt grow``: the beginning of a student wider than its members, for ``fairseq-train --finetune-from-model``."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``ednd-nmt grow``."""
    parser.add_argument(
        "members",
        type=Path,
        nargs="+",
        metavar="CHECKPOINT",
        help="several members, to stand side by side in one Transformer; or one, whose function wider layers will compute",
    )
    parser.add_argument(
        "--decoders",
        type=int,
        metavar="N",
        help="of several: how many of them the decoder has, from the first (default: all); the encoder has all",
    )
    parser.add_argument("--copies", type=int, metavar="N", help="of one: how many times as wide (default: 2)")
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="of the noise by which copies part (default: 1)"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="CHECKPOINT")


def run(args: argparse.Namespace) -> int:
    """Write the checkpoint, and print what its training has to be told; the exit code.

    Raises:
        UserError: an option makes no sense, or a member cannot be widened or does not fit the others.
    """
    from ednd_nmt.errors import UserError
    from ednd_nmt.fairseq_commands import require_fairseq

    count = len(args.members)
    decoders = count if args.decoders is None else args.decoders
    copies = 2 if args.copies is None else args.copies
    if count > 1 and args.copies is not None:
        raise UserError("--copies is for one member; leave it out, or give one.")
    if copies < 1:
        raise UserError(f"--copies is {copies}; give at least 1.")
    if not 1 <= decoders <= count:
        raise UserError(f"--decoders is {decoders}; give a number from 1 to that of the members, {count}.")
    require_fairseq()
    import torch

    from ednd_nmt.checkpoint_fit import check_fit_beside
    from ednd_nmt.growth import (
        grown_settings,
        in_copies,
        parameters,
        require_alike,
        side_by_side,
        training_options,
    )

    state, settings = _read(args.members[0])
    if count == 1:
        generator = torch.Generator().manual_seed(args.seed)
        weights = in_copies(state["model"], settings, copies, generator)
        times = {"encoder": copies, "decoder": copies}
        what = f"{args.members[0]} in layers {copies} times as wide"
    else:
        members = [state["model"]]
        for path in args.members[1:]:
            other, other_settings = _read(path)
            try:
                require_alike(members[0], other["model"], settings, other_settings)
            except UserError as error:
                raise UserError(f"{path} does not fit beside {args.members[0]}. {error}") from error
            check_fit_beside(str(path), other, str(args.members[0]), state)
            members.append(other["model"])
        weights = side_by_side(members, settings, decoders)
        times = {"encoder": count, "decoder": decoders}
        what = f"{count} encoders and {decoders} decoder{'s' * (decoders > 1)} side by side"
    settings = grown_settings(settings, times)
    _write(state, weights, settings, args.output)
    print(
        f"{args.output}: {what}, {parameters(weights, settings) / 1e6:.2f} million parameters. Train it with"
    )
    options = ["--arch", "dirichlet_transformer", "--finetune-from-model", str(args.output)]
    print("  " + shlex.join(options + training_options(settings)))
    return 0


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A member with its positions in tables, and its settings by fairseq's names."""
    from ednd_nmt.checkpoint_fit import configuration
    from ednd_nmt.errors import UserError
    from ednd_nmt.growth import SIDES, require_growable
    from ednd_nmt.safe_weights import read_state

    state = read_state(path)
    model = configuration(state).model  # a mapping, if fairseq-hydra-train wrote it
    settings = dict(model if isinstance(model, Mapping) else getattr(model, "__dict__", {}))
    try:
        require_growable(settings)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    for side in SIDES:
        if not (settings.get(f"{side}_learned_pos") or settings.get("no_token_positional_embeddings")):
            _tabulate_positions(state["model"], settings, side)
    return state, settings


def _tabulate_positions(weights: dict[str, Any], settings: dict[str, Any], side: str) -> None:
    """Sinusoids as the learned positions that they would be: those of another width are no copies of them."""
    from fairseq.models.transformer import DEFAULT_MAX_SOURCE_POSITIONS, DEFAULT_MAX_TARGET_POSITIONS
    from fairseq.modules import SinusoidalPositionalEmbedding

    padding = 1  # fairseq's dictionaries; positions are counted from the one after it
    name, default = {
        "encoder": ("max_source_positions", DEFAULT_MAX_SOURCE_POSITIONS),
        "decoder": ("max_target_positions", DEFAULT_MAX_TARGET_POSITIONS),
    }[side]
    longest = settings.get(name, default)
    weights[f"{side}.embed_positions.weight"] = SinusoidalPositionalEmbedding.get_embedding(
        longest + padding + 1, settings[f"{side}_embed_dim"], padding
    )
    weights.pop(f"{side}.embed_positions._float_tensor", None)


def _write(state: dict[str, Any], weights: dict[str, Any], settings: dict[str, Any], output: Path) -> None:
    from ednd_nmt.checkpoint_fit import configuration
    from ednd_nmt.safe_weights import write_checkpoint

    config = configuration(state)
    grown = {
        **state,
        "model": weights,
        "cfg": argparse.Namespace(model=argparse.Namespace(**settings), criterion=config.criterion),
    }
    write_checkpoint(grown, (config.task.source_lang, config.task.target_lang), output)
