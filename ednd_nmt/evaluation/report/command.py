"""``ednd-nmt report``: the evaluation as one HTML page."""

from __future__ import annotations

import argparse

from ednd_nmt.evaluation.command import add_input_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``ednd-nmt report``: those of ``evaluate``, and where to write."""
    add_input_arguments(parser)
    parser.add_argument(
        "--output", default="report.html", metavar="PATH", help="the page (default: report.html)"
    )
    parser.add_argument("--title", default="Uncertainty report", help="heading of the page")
    parser.add_argument(
        "--sentences",
        type=int,
        default=200,
        help="list at most so many sentences of each set (default: 200; about 2 kB each and system)",
    )


def run(args: argparse.Namespace) -> int:
    """Compute and write the page; returns the exit code.

    Raises:
        UserError: faulty files or options.
    """
    from ednd_nmt.errors import UserError
    from ednd_nmt.evaluation.command import evaluate_inputs
    from ednd_nmt.evaluation.report.data import report_data
    from ednd_nmt.evaluation.report.page import render_page
    from ednd_nmt.files import atomic_writer

    if args.sentences < 1:
        raise UserError(f"--sentences must be at least 1, not {args.sentences}.")
    evaluation = evaluate_inputs(args)
    page = render_page(report_data(evaluation, args.title, args.sentences))
    with atomic_writer(args.output) as stream:
        stream.write(page)
    print(f"{args.output}: {len(page.encode()) / 1e6:.1f} MB, open it in a browser")
    return 0
