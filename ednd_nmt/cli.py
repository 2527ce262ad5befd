"""The command ``ednd-nmt``: one door to training, translating with uncertainty and evaluation."""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ednd_nmt import fairseq_commands
from ednd_nmt.errors import exit_status
from ednd_nmt.files import check_outputs, disk_faults_named, refuse_own_input
from ednd_nmt.version import __version__

OUTPUTS = ("output", "json", "markdown", "latex", "report", "figures")
"""Options of the commands that name a file or a folder to write."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; the exit status is 0, 2 for what the user can mend, 1 for a failure of the machine."""
    return exit_status(partial(_run, list(sys.argv[1:] if arguments is None else arguments)))


def _run(arguments: Sequence[str]) -> int:
    if not sys.warnoptions:  # else the user wants to see what Hydra and PyTorch tell developers
        warnings.simplefilter("ignore")
    if arguments and arguments[0] in fairseq_commands.COMMANDS:
        status = fairseq_commands.run(arguments[0], arguments[1:])
        with disk_faults_named("standard output"):
            _flush_output()
        return status
    parsed = _parser().parse_args(arguments)
    # Else the first module of fairseq that is imported sets it up, and one of them for debugging.
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    _check_outputs(parsed)
    run: Callable[[argparse.Namespace], int] = parsed.run
    with disk_faults_named("standard output"):  # the files have named theirs
        status = run(parsed)
        _flush_output()
    return status


def _check_outputs(parsed: argparse.Namespace) -> None:
    """Whatever the command: an option that names an output may not name what another one reads or writes.

    An output that cannot be written is refused here as well, before hours of work.
    """
    values = vars(parsed)
    given = [value for name, value in values.items() if name not in OUTPUTS]
    texts = [str(text) for value in given for text in (value if isinstance(value, list) else [value])]
    inputs = [path for text in texts for path in _possible_paths(text)]
    folders = [path for text in values.get("systems") or () for path in (text, text.partition("=")[2])]
    inputs += [str(file) for path in filter(os.path.isdir, folders) for file in Path(path).glob("*.jsonl")]
    outputs = [str(values[name]) for name in OUTPUTS if values.get(name) is not None]
    for output in outputs:
        refuse_own_input(output, inputs)
    check_outputs(outputs)


def _possible_paths(text: str) -> list[str]:
    """What of an argument may be a path, as of SYSTEM=PATH and of several models in one; paths may have equals signs."""
    return [text, text.partition("=")[2], *re.split("[:,]", text), *re.split("[=:,]", text)]


def _flush_output() -> None:
    """While its faults can still be told; an interpreter that ends says more than one sentence."""
    if sys.stdout is not None:  # it may have been closed from the beginning
        sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    from ednd_nmt import grow_command as grow
    from ednd_nmt import pack_command as pack
    from ednd_nmt import rerank_command as rerank
    from ednd_nmt import store_command as store
    from ednd_nmt import translate_command as translate
    from ednd_nmt.evaluation import calibrate_command as calibrate
    from ednd_nmt.evaluation import command as evaluate
    from ednd_nmt.evaluation import fit_command as fit
    from ednd_nmt.evaluation import shift_command as shift
    from ednd_nmt.evaluation.report import command as report

    parser = argparse.ArgumentParser(
        prog="ednd-nmt",
        description="Uncertainty in translation: ensembles, the Dirichlet model distilled from one, their evaluation.",
        epilog="fairseq's own commands with everything of this package registered, no --user-dir needed: "
        + ", ".join(f"ednd-nmt {name}" for name in fairseq_commands.COMMANDS),
    )
    parser.add_argument("--version", action="version", version=f"ednd-nmt {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    user_dir = commands.add_parser("user-dir", help="print the path to give to fairseq-train --user-dir")
    user_dir.set_defaults(run=_print_user_dir)
    for name, add_arguments, run, summary in (
        (
            "translate",
            translate.add_translate_arguments,
            translate.run_translate,
            "raw text in, translations with uncertainties out",
        ),
        (
            "score",
            translate.add_score_arguments,
            translate.run_score,
            "the uncertainties of given translations of a text",
        ),
        (
            "rerank",
            rerank.add_arguments,
            rerank.run,
            "choose other hypotheses, abstain, add p_bad: act on the uncertainties of a file",
        ),
        (
            "store",
            store.add_arguments,
            store.run,
            "run the ensemble once over the transfer set, so that training its student needs it no more",
        ),
        (
            "grow",
            grow.add_arguments,
            grow.run,
            "make what a student wider than its members begins with: members side by side, or one in wider layers",
        ),
        ("pack", pack.add_arguments, pack.run, "make a folder that `translate` and `score` take as --model"),
        (
            "evaluate",
            evaluate.add_arguments,
            evaluate.run,
            "BLEU, error detection and out-of-domain detection from uncertainty files",
        ),
        (
            "calibrate",
            calibrate.add_arguments,
            calibrate.run,
            "learn from a validation set how uncertainty tells the probability of a bad translation",
        ),
        (
            "fit",
            fit.add_arguments,
            fit.run,
            "learn from a validation set when to prefer another hypothesis and when to abstain",
        ),
        (
            "shift",
            shift.add_arguments,
            shift.run,
            "make shifted sets from a test set, on which models should be less sure",
        ),
        (
            "report",
            report.add_arguments,
            report.run,
            "one HTML page to look at what `evaluate` computes, sentence by sentence",
        ),
    ):
        command = commands.add_parser(name, help=summary, description=summary)
        add_arguments(command)
        command.set_defaults(run=run)
    return parser


def _print_user_dir(_: argparse.Namespace) -> int:
    print(os.path.dirname(os.path.abspath(__file__)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
