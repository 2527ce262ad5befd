"""Distils an ensemble of image classifiers with every objective, for 10, 100 and 1,000 classes.

    python -m examples.classifier --output runs/classifier

writes ``results.json`` and ``tables.md``, in some minutes on one core; after each number of classes, so that the same
command goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ednd_nmt.errors import exit_status
from ednd_nmt.files import atomic_writer, read_json
from ednd_nmt.option_types import at_least
from examples.classifier.data import PARTS, split_digits
from examples.classifier.experiment import Experiment
from examples.classifier.tables import tables
from examples.classifier.training import (
    ANNEALING,
    BATCH,
    LEARNING_RATES,
    MEMBER_LEARNING_RATE,
    TEMPERATURE,
    WIDTH,
)
from examples.reporting import signature, write_json


def _begun(path: Path, settings: str) -> dict[str, Any]:
    """The results of an earlier run with the same settings and versions, or none yet."""
    if path.is_file():
        results: dict[str, Any] = read_json(path)
        if results.get("signature") == settings:
            return results
    return {"signature": settings, "runs": [], "choices": [], "gradients": []}


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
    parser.add_argument("--member-updates", type=at_least(1), default=2000)
    parser.add_argument("--updates", type=at_least(1), default=1000, help="of a student")
    parser.add_argument(
        "--numbers", type=at_least(1), default=20000, help="in the training set, and in the transfer set"
    )
    parser.add_argument("--test-numbers", type=at_least(1), default=2000, help="and as many for validation")
    parser.add_argument("--seed", type=int, default=1, help="of the data")
    return exit_status(partial(_run, parser.parse_args(arguments)))


def _run(options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    started = time.process_time()
    names = ("members", "student_seeds", "member_updates", "updates", "numbers", "test_numbers", "seed")
    settings = {name: getattr(options, name) for name in names}
    settings |= {f"{name}_digits": size for name, size in PARTS.items() if size is not None}
    settings |= {"width": WIDTH, "batch": BATCH, "member_lr": MEMBER_LEARNING_RATE}
    settings |= {"lr": ",".join(f"{rate:g}" for rate in LEARNING_RATES)}
    settings |= {"temperature": TEMPERATURE, "annealing": ANNEALING}
    parts = split_digits(options.seed)
    results = _begun(options.output / "results.json", signature(settings, "torch", "scikit-learn"))
    for length in options.digits:
        if any(record["classes"] == 10**length for record in results["runs"]):
            print(f"K = {10**length:,} is there already", file=sys.stderr)
            continue
        for kind, record in Experiment(length, parts, options).run():
            results[kind].append(record)
            if kind == "runs":
                seconds = time.process_time() - started
                start = f" ({record['start']} start)" if record["start"] else ""
                print(
                    f"[{seconds:4.0f} s] K = {record['classes']:,}, {record['system']}{start}",
                    file=sys.stderr,
                )
        write_json(options.output / "results.json", results)
        with atomic_writer(options.output / "tables.md") as stream:
            stream.write(tables(results))
    print(tables(results))


if __name__ == "__main__":
    sys.exit(main())
