"""``ednd-nmt store``: run the ensemble once over the transfer set, so that training the student needs it no more."""

from __future__ import annotations

import argparse
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``ednd-nmt store``."""
    parser.add_argument("data", help="folder of binarised data: the transfer set")
    parser.add_argument("--source-lang", required=True)
    parser.add_argument("--target-lang", required=True)
    parser.add_argument(
        "--ensemble-paths", required=True, help="the members' checkpoints, separated by ':' or ','"
    )
    parser.add_argument("--output", required=True, help="file for `fairseq-train --stored-targets`")
    parser.add_argument(
        "--top-k", type=int, default=64, help="how many classes are kept of every token (default: 64)"
    )
    parser.add_argument(
        "--subsets",
        type=lambda text: text.split(","),
        default=["train", "valid"],
        help="default: train,valid",
    )
    parser.add_argument(
        "--train-subset", default="train", metavar="SET", help="as of fairseq-train (default: %(default)s)"
    )
    parser.add_argument(
        "--upsample-primary",
        type=int,
        metavar="N",
        help="of a training set with further parts (train1, train2 ...), which fairseq-train combines: how often the first "
        "one is in it, as there",
    )
    parser.add_argument("--max-tokens", type=int, default=4000, help="of a batch (default: 4000)")
    parser.add_argument("--fp16-ensemble", action="store_true", help="run the members in float16")
    parser.add_argument("--bf16-ensemble", action="store_true", help="run the members in bfloat16")
    parser.add_argument("--cpu", action="store_true", help="even if there is a GPU")


def run(args: argparse.Namespace) -> int:
    """Write the file; the exit code. It appears when it is whole; the same command goes on where an interrupted run stopped.

    Raises:
        UserError: see :func:`ednd_nmt.store.store_targets`.
    """
    from ednd_nmt.fairseq_commands import require_fairseq

    require_fairseq()
    from ednd_nmt.store import store_targets

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    for done, total in store_targets(args, say):
        say(f"{done}/{total} sentences")
    return 0
