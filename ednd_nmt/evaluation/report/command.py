"""``ednd-nmt report``: the evaluation as one HTML page."""

from __future__ import annotations

import argparse
import sys

from ednd_nmt.evaluation.command import add_input_arguments
from ednd_nmt.evaluation.report.page import SENTENCES, TITLE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``ednd-nmt report``: those of ``evaluate``, and where to write."""
    add_input_arguments(parser)
    parser.add_argument(
        "--output", default="report.html", metavar="PATH", help="the page (default: report.html)"
    )
    parser.add_argument("--title", default=TITLE, help="heading of the page (default: %(default)s)")
    parser.add_argument(
        "--sentences",
        type=int,
        default=SENTENCES,
        help="list at most so many sentences of each set (default: %(default)s; about 2 kB each and system)",
    )


def run(args: argparse.Namespace) -> int:
    """Compute and write the page; returns the exit code.

    Raises:
        UserError: faulty files or options.
    """
    from ednd_nmt.errors import UserError
    from ednd_nmt.evaluation.command import evaluate_inputs
    from ednd_nmt.evaluation.report.page import save_report

    if args.sentences < 1:
        raise UserError(f"--sentences must be at least 1, not {args.sentences}.")
    size = save_report(evaluate_inputs(args), args.output, args.title, args.sentences)
    print(f"{args.output}: {size / 1e6:.1f} MB, open it in a browser", file=sys.stderr)
    return 0
