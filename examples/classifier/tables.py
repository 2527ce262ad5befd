"""Tables of ``results.json``, for a terminal and for the README.

    python -m examples.classifier.tables examples/classifier/results.json --readme examples/classifier/README.md

writes them between the two marks in the README.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ednd_nmt.errors import exit_status
from ednd_nmt.files import read_json
from examples.classifier.data import SHIFTS
from examples.reporting import fill_page, markdown_table

SUMMARY = ("accuracy", "NLL")
COLUMNS = (
    "accuracy",
    "NLL",
    "ECE",
    "PRR by TU",
    "PRR by MI",
    *(f"ROC-AUC {shift} by {measure}" for shift in SHIFTS for measure in ("TU", "MI")),
    "evidence",
)

Record = Mapping[str, Any]


def tables(results: Mapping[str, Any]) -> str:
    """As Markdown: accuracy and NLL as K grows, every figure for each K, learning rates, and first gradients."""
    runs: list[Record] = results["runs"]
    sizes = sorted({record["classes"] for record in runs})
    parts = []
    for column in SUMMARY:
        rows = [
            [name, *(_mean_and_deviation(groups.get(size, []), column) for size in sizes)]
            for name, groups in _by_system(runs).items()
        ]
        unit = "%" if column == "accuracy" else "nats"
        parts.append(
            f"Test {column}, {unit}\n\n" + markdown_table(["", *(f"K = {size:,}" for size in sizes)], rows)
        )
    for size in sizes:
        rows = [
            [name, *(_mean_and_deviation(groups.get(size, []), column) for column in COLUMNS)]
            for name, groups in _by_system(runs).items()
        ]
        parts.append(f"Everything for K = {size:,}\n\n" + markdown_table(["", *COLUMNS], rows))
    parts.append(_choices(results["choices"], sizes))
    parts.append(_gradients(results["gradients"]))
    return "\n".join([*parts, f"`{results['signature']}`\n"])


def _name(record: Record) -> str:
    return record["system"] + (f", from a {record['start']} start" if record["start"] else "")


def _by_system(records: Iterable[Record]) -> dict[str, dict[int, list[Record]]]:
    """Records by the system's name, and then by the number of classes."""
    groups: dict[str, dict[int, list[Record]]] = {}
    for record in records:
        groups.setdefault(_name(record), {}).setdefault(record["classes"], []).append(record)
    return groups


def _choices(choices: Sequence[Record], sizes: Sequence[int]) -> str:
    """The NLL on the validation numbers with each learning rate, the chosen one in bold type."""
    rates = sorted({record["learning_rate"] for record in choices})
    columns = [(size, rate) for size in sizes for rate in rates]
    rows = []
    for name, groups in _by_system(choices).items():
        found = {
            (record["classes"], record["learning_rate"]): record
            for group in groups.values()
            for record in group
        }
        cells = []
        for column in columns:
            mark = "**" if found[column]["chosen"] else ""
            cells.append(f"{mark}{found[column]['validation NLL']:.2f}{mark}")
        rows.append([name, *cells])
    header = ["", *(f"K = {size:,}, {rate:g}" for size, rate in columns)]
    return "NLL on the validation numbers by learning rate, nats\n\n" + markdown_table(header, rows)


def _gradients(gradients: Sequence[Record]) -> str:
    rows = [
        [
            _name(record),
            f"{record['classes']:,}",
            f"{record['norm']:.2g}",
            f"{record['top class']:.1f}",
            f"{record['lowered']:.1f}",
        ]
        for record in gradients
    ]
    header = ["", "K", "norm", "on the top class, %", "lowers logits, %"]
    return "Gradient with respect to the logits before the first update\n\n" + markdown_table(header, rows)


def _mean_and_deviation(records: Sequence[Record], column: str) -> str:
    """``97.1 ±0.3``; ``-`` if the system has no such figure, or not with every seed."""
    found = [record[column] for record in records if column in record]
    if not found or len(found) < len(records):
        return "-"
    if column == "evidence":  # of any size
        return f"{statistics.median(found):.1e}"
    digits = 2 if column == "NLL" else 1
    mean = f"{statistics.mean(found):.{digits}f}"
    return mean if len(found) == 1 else f"{mean} ±{statistics.stdev(found):.{digits}f}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("results", type=Path, help="results.json of python -m examples.classifier")
    parser.add_argument("--readme", type=Path, required=True, help="the page that shows them")
    return exit_status(partial(_fill, parser.parse_args(arguments)))


def _fill(options: argparse.Namespace) -> None:
    fill_page(options.readme, {"tables": tables(read_json(options.results))})


if __name__ == "__main__":
    sys.exit(main())
