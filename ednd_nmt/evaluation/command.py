"""``ednd-nmt evaluate``: figures of one or many systems from their uncertainty files."""

from __future__ import annotations

import argparse
import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ednd_nmt.evaluation.bootstrap import RESAMPLES, SEED
from ednd_nmt.records import WEIGHTINGS

if TYPE_CHECKING:
    from ednd_nmt.evaluation.columns import Columns
    from ednd_nmt.evaluation.evaluate import Evaluation
    from ednd_nmt.evaluation.inputs import Inputs


QUALITY_HELP = (
    "sentence-level quality that says how bad a translation is: bleu (default), chrf, ter, gleu, or comet "
    "(times 100; comet:MODEL with another model than its default)"
)


def add_input_arguments(parser: argparse.ArgumentParser) -> None:
    """The options shared with ``ednd-nmt report``: which files, and what is computed from them."""
    parser.add_argument(
        "systems",
        nargs="*",
        metavar="NAME=FOLDER",
        help="a system and the folder with its uncertainty files, one <set>.jsonl per set "
        "(or a single file: the in-domain set alone)",
    )
    parser.add_argument(
        "--file",
        action="append",
        default=[],
        metavar="SYSTEM:SET=PATH",
        help="one more uncertainty file, wherever it lies; may be repeated",
    )
    parser.add_argument("--in-domain", default="test", metavar="SET", help="in-domain set (default: test)")
    parser.add_argument(
        "--shifted",
        nargs="*",
        metavar="SET",
        help="shifted sets, or no name for none (default: every other set found)",
    )
    parser.add_argument(
        "--measures",
        nargs="+",
        metavar="MEASURE",
        help="what tables and drawings show: names, or all (default: TU DU MI EPKL MKL sTU sMKL; JSON has all)",
    )
    parser.add_argument("--quality", default="bleu", metavar="METRIC", help=QUALITY_HELP)
    parser.add_argument(
        "--calibration",
        action="append",
        default=[],
        metavar="SYSTEM=PATH",
        help="calibration of a system (made by ednd-nmt calibrate): p_bad beside its measures, with calibration error "
        "and reliability; may be repeated",
    )
    parser.add_argument(
        "--weighting",
        choices=WEIGHTINGS,
        help="weights of the hypotheses in the sentence's uncertainty (default: as in the files)",
    )
    parser.add_argument(
        "--temperature", type=float, help="T of the posterior weights (default: as in the files)"
    )
    parser.add_argument("--nbest", type=int, help="use the first so many hypotheses (default: all)")
    parser.add_argument(
        "--disagreement",
        action="store_true",
        help="also how much the hypotheses of a sentence disagree (cross-BLEU; a millisecond per sentence)",
    )
    parser.add_argument(
        "--token-level",
        action="store_true",
        help="also find wrong tokens: words that edits to the reference replace or delete",
    )
    parser.add_argument(
        "--word-labels",
        action="append",
        default=[],
        metavar="SYSTEM=PATH",
        help="OK or BAD for each word of a system's in-domain translations (each token, if it writes tokenised text), a "
        "line per sentence (as in the WMT quality estimation tasks, with or without labels of gaps), instead of edits; may "
        "be repeated",
    )
    parser.add_argument(
        "--baseline",
        action="append",
        default=[],
        metavar="NAME",
        help="system that the others are compared with (default: the first); may be repeated: tables mark what differs "
        "from the first, --json has all",
    )
    add_bootstrap_arguments(parser)
    parser.add_argument(
        "--acceptable-error",
        type=float,
        default=60.0,
        help="largest acceptable error for F1-AUC and F1@95 (default: 60)",
    )


def add_bootstrap_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of every command that resamples."""
    parser.add_argument(
        "--resamples", type=int, default=RESAMPLES, help="bootstrap resamples (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=SEED, help="seed of the bootstrap (default: %(default)s)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``ednd-nmt evaluate``."""
    add_input_arguments(parser)
    parser.add_argument("--json", metavar="PATH", help="write every figure with its interval and signature")
    parser.add_argument("--markdown", metavar="PATH", help="write the tables as Markdown")
    parser.add_argument("--latex", metavar="PATH", help="write the tables as LaTeX (booktabs)")
    parser.add_argument(
        "--report",
        metavar="PATH",
        help="write the page of ednd-nmt report, without computing the figures once more",
    )
    parser.add_argument(
        "--figures",
        metavar="FOLDER",
        help="draw curves, histograms and reliability as SVG and PNG (matplotlib)",
    )


def run(args: argparse.Namespace) -> int:
    """Compute, print and save; returns the exit code.

    Raises:
        UserError: faulty files or options.
    """
    from ednd_nmt.evaluation.tables import render_latex, render_markdown, render_terminal
    from ednd_nmt.files import atomic_writer, figures_beside

    evaluation = evaluate_inputs(args)
    shown = figures_beside(args.json, args.markdown, args.latex, args.report)
    bold = shown is not None and shown.isatty() and "NO_COLOR" not in os.environ
    for path, text in (
        (
            args.json,
            lambda: json.dumps(evaluation.as_dict(), ensure_ascii=False, allow_nan=False, indent=1) + "\n",
        ),
        (args.markdown, lambda: render_markdown(evaluation)),
        (args.latex, lambda: render_latex(evaluation)),
    ):
        if path is not None:
            with atomic_writer(path) as stream:
                stream.write(text())
    if args.report is not None:
        from ednd_nmt.evaluation.report.page import save_report

        save_report(evaluation, args.report)
    if args.figures is not None:
        from ednd_nmt.evaluation.figures import save_figures

        save_figures(evaluation, args.figures)
    # Last: whoever reads it may be gone. It goes nowhere, if the standard output is closed.
    print(render_terminal(evaluation, bold), end="", file=shown)
    return 0


def evaluate_inputs(args: argparse.Namespace) -> Evaluation:
    """Read the files that the options name and evaluate them."""
    from ednd_nmt.evaluation.calibration import read_calibration
    from ednd_nmt.evaluation.evaluate import Settings, evaluate

    inputs = find_inputs_of(args)
    settings = Settings(
        quality=args.quality,
        resamples=args.resamples,
        seed=args.seed,
        acceptable_error=args.acceptable_error,
        measures=tuple(args.measures) if args.measures else None,
        calibrations={
            system: read_calibration(path)
            for system, path in _by_system("--calibration", args.calibration, inputs).items()
        },
        token_level=args.token_level or bool(args.word_labels),
        word_labels=_by_system("--word-labels", args.word_labels, inputs),
        baselines=tuple(args.baseline),
    )
    return evaluate(_read(inputs, args), inputs.in_domain, inputs.shifted, settings)


def find_inputs_of(args: argparse.Namespace) -> Inputs:
    """Check the numbers among the options and resolve the files."""
    from ednd_nmt.errors import UserError
    from ednd_nmt.evaluation.inputs import find_inputs
    from ednd_nmt.evaluation.quality import check_metric
    from ednd_nmt.files import refuse_pipe

    for option, value, least in (("--resamples", args.resamples, 10), ("--nbest", args.nbest, 1)):
        if value is not None and value < least:
            raise UserError(f"{option} must be at least {least}, not {value}.")
    if not math.isfinite(args.acceptable_error):
        raise UserError(
            f"--acceptable-error is {args.acceptable_error:g}; give a number of percent, as in 60."
        )
    if args.seed < 0:
        raise UserError(f"--seed must not be negative, but is {args.seed}.")
    check_metric(args.quality)
    inputs = find_inputs(args.systems, args.file, args.in_domain, args.shifted)
    twice = {
        "--token-level": args.token_level or args.word_labels,
        "the report": getattr(args, "report", None) or hasattr(args, "sentences"),  # of either command
    }
    for reason in (reason for reason, wanted in twice.items() if wanted):
        for path in (path for sets in inputs.files.values() for path in sets.values()):
            refuse_pipe(path, reason)
    return inputs


def _by_system(option: str, items: list[str], inputs: Inputs) -> dict[str, Path]:
    """Paths by system, from ``SYSTEM=PATH``."""
    from ednd_nmt.errors import UserError

    found = {}
    for item in items:
        system, _, path = item.partition("=")
        if system not in inputs.files or not path:
            known = ", ".join(inputs.files)
            raise UserError(
                f"Cannot read {option} {item!r}; write SYSTEM=PATH with one of the systems {known}."
            )
        if system in found:
            raise UserError(f"{option} is given twice for {system}; leave one out.")
        found[system] = Path(path)
    return found


def _read(inputs: Inputs, args: argparse.Namespace) -> dict[str, dict[str, Columns]]:
    from ednd_nmt.evaluation.columns import Aggregation, read_columns

    aggregation = Aggregation(args.weighting, args.temperature, args.nbest, args.disagreement)
    wanted = {inputs.in_domain, *inputs.shifted}

    def columns(path: Path) -> Columns:
        return read_columns(path, aggregation)

    return {
        system: {name: columns(path) for name, path in sets.items() if name in wanted}
        for system, sets in inputs.files.items()
    }
