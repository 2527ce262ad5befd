"""Distils an ensemble of image classifiers with every objective, for 10, 100 and 1,000 classes.

    python -m examples.classifier --output runs/classifier

writes ``results.json`` and ``tables.md``, in some minutes on one core.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import ednd_nmt
from ednd_nmt.errors import UserError
from ednd_nmt.files import atomic_writer
from examples.classifier.data import SHIFTS, Digits, draw_numbers, shifted_digits, split_digits
from examples.classifier.evaluation import dirichlet_student, ensemble, figures, single_model
from examples.classifier.training import (
    BATCH,
    CATEGORICAL,
    LEARNING_RATE,
    OBJECTIVES,
    WIDTH,
    member_loss,
    student_loss,
    train_network,
)
from examples.reporting import at_least, markdown_table, signature, write_json

TRAINING_DIGITS = 1000  # the other 797 are for the test
COLUMNS = (
    "accuracy",
    "NLL",
    "ECE",
    "PRR by TU",
    "PRR by MI",
    *(f"ROC-AUC {shift} by {measure}" for shift in SHIFTS for measure in ("TU", "MI")),
)


def run(length: int, training: Digits, test: Digits, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Train and evaluate all systems for numbers of ``length`` digits; one record for each."""

    def generator(number: int) -> torch.Generator:
        return torch.Generator().manual_seed(1000 * options.seed + number)

    pixels, values = draw_numbers(training, length, options.numbers, generator(1))
    transfer, _ = draw_numbers(training, length, options.numbers, generator(2))
    test_pixels, test_values = draw_numbers(test, length, options.test_numbers, generator(3))
    shifted = {
        shift: draw_numbers(shifted_digits(test, shift), length, options.test_numbers, generator(3))[0]
        for shift in SHIFTS
    }

    def record(system: str, seed: int | None, updates: int, predict: Any) -> dict[str, Any]:
        found = figures(predict, test_pixels, test_values, shifted)
        return {"classes": 10**length, "system": system, "seed": seed, "updates": updates, **found}

    loss = member_loss(pixels, values)
    members = [train_network(loss, length, options.updates, seed) for seed in range(options.members)]
    for seed, member in enumerate(members):
        yield record("single model", seed, options.updates, single_model(member))
    yield record("ensemble", None, options.updates, ensemble(members))

    with torch.no_grad():
        target = ednd_nmt.ensemble_statistics(member(transfer) for member in members)
    for name, objective in OBJECTIVES.items():
        loss = student_loss(objective, transfer, target)
        for updates in (options.updates // 4, options.updates):
            for seed in range(options.student_seeds):
                student = train_network(loss, length, updates, options.members + seed)
                system = single_model if name in CATEGORICAL else dirichlet_student
                yield record(name, seed, updates, system(student))


def tables(results: dict[str, Any]) -> str:
    """A Markdown table for each K: means over the seeds, and their standard deviations."""
    parts = []
    for classes in dict.fromkeys(record["classes"] for record in results["runs"]):
        groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
        for record in results["runs"]:
            if record["classes"] == classes:
                groups.setdefault((record["system"], record["updates"]), []).append(record)
        rows = [
            [system, f"{updates:,}", *(_mean_and_deviation(records, column) for column in COLUMNS)]
            for (system, updates), records in groups.items()
        ]
        parts.append(f"K = {classes:,}\n\n" + markdown_table(["", "updates", *COLUMNS], rows))
    return "\n".join([*parts, f"`{results['signature']}`\n"])


def _mean_and_deviation(records: list[dict[str, Any]], column: str) -> str:
    """``97.1 ±0.3``; ``-`` if the system has no such figure, or not with every seed."""
    found = [record[column] for record in records if column in record]
    if len(found) < len(records):
        return "-"
    digits = 2 if column == "NLL" else 1
    mean = f"{statistics.mean(found):.{digits}f}"
    return mean if len(found) == 1 else f"{mean} ±{statistics.stdev(found):.{digits}f}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m examples.classifier",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output", type=Path, default=Path("runs/classifier"), help="folder")
    parser.add_argument(
        "--digits", type=int, nargs="+", default=[1, 2, 3], choices=[1, 2, 3, 4], help="K = 10^digits"
    )
    parser.add_argument("--members", type=at_least(2), default=5)
    parser.add_argument("--student-seeds", type=at_least(1), default=3)
    parser.add_argument("--updates", type=at_least(4), default=3000, help="of members and students")
    parser.add_argument(
        "--numbers", type=at_least(1), default=20000, help="in the training set, and in the transfer set"
    )
    parser.add_argument("--test-numbers", type=at_least(1), default=2000)
    parser.add_argument("--seed", type=int, default=1, help="of the data")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        started = time.process_time()
        settings = {
            name: getattr(options, name) for name in ("members", "updates", "numbers", "test_numbers", "seed")
        }
        settings |= {"training_digits": TRAINING_DIGITS, "width": WIDTH, "batch": BATCH, "lr": LEARNING_RATE}
        training, test = split_digits(TRAINING_DIGITS, options.seed)
        runs = []
        for length in options.digits:
            for record in run(length, training, test, options):
                runs.append(record)
                seconds = time.process_time() - started
                print(f"[{seconds:4.0f} s] K = {record['classes']:,}, {record['system']}", file=sys.stderr)
        results = {"signature": signature(settings, "torch", "scikit-learn"), "runs": runs}
        write_json(options.output / "results.json", results)
        with atomic_writer(options.output / "tables.md") as stream:
            stream.write(tables(results))
        print(tables(results))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
