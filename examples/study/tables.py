"""Tables of a study from the results of ``ednd-nmt evaluate``: means over seeds, and what is kept of the ensemble.

    python -m examples.study.tables study/results.json --output study/tables.md

The students of one kind are named alike up to their seed: ``reverse-1``, ``reverse-2``.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ednd_nmt.errors import UserError, exit_status
from ednd_nmt.files import atomic_writer, read_json
from examples.reporting import markdown_table

ENSEMBLE = "ensemble"
MEASURES = ("TU", "MI", "MKL", "sTU", "sMKL")

Key = tuple[str, str, str | None]  # figure, set, measure
Scores = Mapping[str, Mapping[Key, list[float]]]  # by kind of system, one score per seed


def read_scores(results: Mapping[str, Any]) -> Scores:
    """The scores by kind of system: students that differ in the seed only are one kind, members are not."""
    scores: dict[str, dict[Key, list[float]]] = {}
    for score in results["scores"]:
        seeded = re.fullmatch(r"(?!member-)(.+)-\d+", score["system"])
        kind = scores.setdefault(seeded[1] if seeded else score["system"], {})
        kind.setdefault((score["figure"], score["set"], score["measure"]), []).append(score["score"])
    if ENSEMBLE not in scores:
        raise UserError("The results have no system 'ensemble' to compare the students with.")
    return scores


def table(scores: Scores, columns: Mapping[str, Key]) -> str:
    """A row per kind of system that has a score: mean and deviation over seeds, and the difference from the ensemble."""
    rows = []
    for kind, found in scores.items():
        if not any(key in found for key in columns.values()):
            continue
        cells = []
        for key in columns.values():
            seeds, ensemble = found.get(key, []), scores[ENSEMBLE].get(key, [])
            text = f"{statistics.mean(seeds):.1f}" if seeds else "-"
            text += f" ±{statistics.stdev(seeds):.1f}" if len(seeds) > 1 else ""
            if seeds and ensemble and kind != ENSEMBLE:
                text += f" ({statistics.mean(seeds) - ensemble[0]:+.1f})"
            cells.append(text)
        rows.append([kind, *cells])
    return markdown_table(["", *columns], rows)


def tables(results: Mapping[str, Any]) -> str:
    """Quality, error detection, and the detection of every shifted set, as Markdown."""
    scores, test = read_scores(results), results["in_domain"]
    quality = {figure: (figure, test, None) for figure in ("BLEU", "chrF")}
    detection = {measure: ("PRR", test, measure) for measure in MEASURES}
    parts = [
        "Mean ±standard deviation over seeds (difference from the ensemble).\n",
        f"Quality in {test}\n\n" + table(scores, quality),
        f"Finding bad translations in {test}: PRR, %\n\n" + table(scores, detection),
    ]
    for shifted in results["shifted"]:
        columns = {measure: ("ROC-AUC", shifted, measure) for measure in MEASURES}
        parts.append(f"Telling {shifted} from {test}: ROC-AUC, %\n\n" + table(scores, columns))
    signatures = {score["figure"]: score["signature"] for score in reversed(results["scores"])}  # the first
    shown = [figure for figure in ("BLEU", "PRR", "ROC-AUC") if figure in signatures]
    parts.append("".join(f"- `{figure}|{signatures[figure]}`\n" for figure in shown))
    return "\n".join(parts)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("results", type=Path, help="the file of ednd-nmt evaluate --json")
    parser.add_argument("--output", type=Path, required=True)
    return exit_status(partial(_write, parser.parse_args(arguments)))


def _write(options: argparse.Namespace) -> None:
    text = tables(read_json(options.results))
    with atomic_writer(options.output) as stream:
        stream.write(text)


if __name__ == "__main__":
    sys.exit(main())
