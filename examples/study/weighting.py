"""How the hypotheses of an n-best list should weigh in a sentence's uncertainty, from the uncertainty files of one run.

    python -m examples.study.weighting student=translations/student ensemble=translations/ensemble \\
        --shifted descriptions ding german permuted --output study

writes ``weighting.json`` (every figure with its signature) and ``weighting.md`` into ``study``. The other arguments are
those of ``ednd-nmt evaluate``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ednd_nmt.errors import exit_status
from ednd_nmt.evaluation.command import add_input_arguments, evaluate_inputs
from ednd_nmt.evaluation.evaluate import Evaluation
from ednd_nmt.files import atomic_writer
from examples.reporting import markdown_table, write_json

WEIGHTINGS = {
    "best alone": ("best", None),
    **{f"posterior, T = {t:g}": ("posterior", t) for t in (0.5, 1.0, 2.0, 5.0)},
    "uniform": ("uniform", None),
}
MEASURES = ("sTU", "MI", "MKL")

Results = Mapping[str, Sequence[Mapping[str, Any]]]  # by weighting


def evaluations(arguments: argparse.Namespace) -> dict[str, Evaluation]:
    """The evaluation of the same files with every weighting.

    Raises:
        UserError: faulty files or options.
    """
    found = {}
    for name, (arguments.weighting, arguments.temperature) in WEIGHTINGS.items():
        print(f"{name} ...", file=sys.stderr)
        found[name] = evaluate_inputs(arguments)
    return found


def results(found: dict[str, Evaluation]) -> Results:
    """PRR in the domain and ROC-AUC of every shifted set, with intervals and signatures, by weighting."""
    return {
        name: [
            {"system": key.system, "set": key.set, "measure": key.measure, **score.as_dict()}
            for key, score in evaluation.scores.items()
            if key.measure in MEASURES and key.figure in ("PRR", "ROC-AUC")
        ]
        for name, evaluation in found.items()
    }


def tables(results: Results) -> str:
    """A table per system and measure from :func:`results`, a row per weighting."""
    first = next(iter(results.values()))
    parts = []
    for system in dict.fromkeys(score["system"] for score in first):
        for measure in MEASURES:
            columns = {
                "PRR" if score["figure"] == "PRR" else score["set"]: (score["figure"], score["set"])
                for score in first
                if (score["system"], score["measure"]) == (system, measure)
            }
            if not columns:
                continue
            rows = []
            for name, scores in results.items():
                cells = {
                    (score["figure"], score["set"]): _cell(score)
                    for score in scores
                    if (score["system"], score["measure"]) == (system, measure)
                }
                rows.append([name, *(cells[column] for column in columns.values())])
            parts.append(markdown_table([f"{system}, {measure}", *columns], rows))
    return "\n".join(parts)


def _cell(score: Mapping[str, Any]) -> str:
    confidence = score["confidence"]
    return f"{score['score']:.1f} ±{(confidence['high'] - confidence['low']) / 2:.1f}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_input_arguments(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    return exit_status(partial(_write, parser.parse_args(arguments)))


def _write(arguments: argparse.Namespace) -> None:
    figures = results(evaluations(arguments))
    write_json(arguments.output / "weighting.json", figures)
    text = tables(figures)
    with atomic_writer(arguments.output / "weighting.md") as stream:
        stream.write(text)
    print(text, end="")


if __name__ == "__main__":
    sys.exit(main())
