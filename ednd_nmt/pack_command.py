"""``ednd-nmt pack``: make a model folder of a checkpoint, its dictionaries and its pieces; safetensors on request."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``ednd-nmt pack``."""
    from ednd_nmt.model_folder import TOKENIZERS

    parser.add_argument(
        "--checkpoint",
        type=Path,
        required=True,
        help="model that fairseq-train saved, or a model.safetensors",
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with its dict.<language>.txt files")
    parser.add_argument("--source-lang", required=True)
    parser.add_argument("--target-lang", required=True)
    parser.add_argument("--pieces", type=Path, help="sentencepiece model, if the text was cut by one")
    parser.add_argument("--tokenizer", choices=TOKENIZERS, default="none", help="before the pieces")
    parser.add_argument(
        "--normalise-punctuation", action="store_true", help="by sacremoses, before the tokens"
    )
    parser.add_argument(
        "--plain-punctuation",
        action="store_true",
        help="before all else: plain quotation marks, dashes and blanks, as in the corpus of scripts/build_corpus.py",
    )
    parser.add_argument(
        "--weights",
        choices=("copy", "safetensors", "checkpoint"),
        default="copy",
        help="of the folder: the checkpoint as it is; model.safetensors and settings.json, which are no pickle; or a "
        "checkpoint without what only training needs (default: %(default)s)",
    )
    parser.add_argument("--output", type=Path, required=True, help="the folder; may be the checkpoint's own")


def run(args: argparse.Namespace) -> int:
    """Make the folder; the exit code.

    Raises:
        UserError: a file is missing or damaged, or the folder cannot be written.
    """
    from ednd_nmt.compat.checkpoints import read_checkpoint
    from ednd_nmt.errors import UserError
    from ednd_nmt.fairseq_commands import require_fairseq
    from ednd_nmt.model_folder import Preparation, pack
    from ednd_nmt.text_preparation import load_pieces

    preparation = Preparation(
        args.source_lang,
        args.target_lang,
        args.normalise_punctuation,
        args.tokenizer,
        args.pieces is not None,
        args.plain_punctuation,
    )
    dictionaries = [args.data / f"dict.{language}.txt" for language in (args.source_lang, args.target_lang)]
    safetensors = None if args.weights == "copy" else args.weights == "safetensors"
    if safetensors is not None:
        require_fairseq()
    elif args.checkpoint.suffix == ".safetensors":
        raise UserError(
            f"{args.checkpoint} is no checkpoint; give --weights checkpoint or --weights safetensors."
        )
    else:
        read_checkpoint(args.checkpoint)  # a folder of what is damaged would be of no use
    if args.pieces is not None:
        load_pieces(args.pieces)
    pack(args.checkpoint, dictionaries, args.pieces, preparation, args.output, safetensors)
    return 0
