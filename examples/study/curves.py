"""How fast the students of a study learn: bits a token on the validation set's references as training proceeds.

    python -m examples.study.curves study/logs --output study

writes ``curves.json``, ``curves.md`` and, with the extra ``plots``, ``curves.svg`` and ``.png`` into ``study``. A student of
every objective is asked for the same: minus the logarithm of the probability that its mean gives the reference.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import statistics
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ednd_nmt.errors import UserError, exit_status
from ednd_nmt.evaluation.figures import COLORS, drawing, save
from ednd_nmt.files import atomic_writer
from examples.reporting import markdown_table, write_json

LOG_NAME = re.compile(r"student-(?P<kind>.+)-(?P<seed>\d+)\.log")
VALIDATION = re.compile(r"\| valid \| (\{.*\})")
LINES = ("-", "--", "-.", ":")

Curves = Mapping[
    str, Mapping[int, list[float]]
]  # by kind of student and number of updates, bits a token of every seed


def read_curves(folder: Path) -> Curves:
    """The validations in fairseq's logs; of an update that was made twice, after an interruption, the last.

    Raises:
        UserError: there is no log of a student, or no validation in one.
    """
    curves: dict[str, dict[int, list[float]]] = {}
    for path in sorted(folder.glob("student-*.log")):
        if (name := LOG_NAME.fullmatch(path.name)) is None:
            continue
        found = VALIDATION.findall(path.read_text(encoding="utf-8", errors="replace"))
        points = {
            int(point["valid_num_updates"]): float(point["valid_nll_loss"])
            for point in map(json.loads, found)
        }
        if not points:
            raise UserError(f"{path} has no validation yet; wait for the first one, or remove the file.")
        for update, bits in sorted(points.items()):
            curves.setdefault(name["kind"], {}).setdefault(update, []).append(bits)
    if not curves:
        raise UserError(
            f"There is no log of a student, student-NAME-SEED.log, in {folder}; give study/logs of a run."
        )
    return curves


def table(curves: Curves) -> str:
    """A row per kind of student, a column per validation: means over the seeds."""
    updates = sorted({update for points in curves.values() for update in points})
    rows = [
        [kind, *(f"{statistics.mean(points[update]):.3f}" if update in points else "-" for update in updates)]
        for kind, points in curves.items()
    ]
    return markdown_table(["bits a token after updates", *(f"{update:,}" for update in updates)], rows)


def save_figure(curves: Curves, folder: Path) -> list[Path]:
    """Draw the means over the seeds, and their range, into ``folder`` as SVG and PNG; returns the files."""
    with drawing() as pyplot:
        from matplotlib import ticker

        figure, axes = pyplot.subplots(figsize=(5.0, 3.2), layout="constrained")
        for number, (kind, points) in enumerate(curves.items()):
            style: dict[str, Any] = {
                "color": COLORS[number % len(COLORS)],
                "linestyle": LINES[number // len(COLORS) % len(LINES)],
            }
            updates = list(points)
            axes.plot(
                updates,
                list(map(statistics.mean, points.values())),
                marker="o",
                markersize=3,
                label=kind,
                **style,
            )
            axes.fill_between(
                updates,
                list(map(min, points.values())),
                list(map(max, points.values())),
                color=style["color"],
                alpha=0.15,
            )
        axes.set(xlabel="updates", ylabel="bits a token, validation references", yscale="log")
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)))
        axes.yaxis.set_minor_locator(ticker.NullLocator())
        axes.yaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.grid(color="0.92", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside right upper", frameon=False)
        return save(figure, folder, "curves")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("logs", type=Path, help="the folder study/logs of a run")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    return exit_status(partial(_write, parser.parse_args(arguments)))


def _write(options: argparse.Namespace) -> None:
    curves = read_curves(options.logs)
    write_json(options.output / "curves.json", {"bits_per_token": curves})
    with atomic_writer(options.output / "curves.md") as stream:
        stream.write(table(curves))
    print(table(curves), end="")
    if importlib.util.find_spec("matplotlib") is None:
        print("no picture: it needs matplotlib (pip install matplotlib)")
        return
    for path in save_figure(curves, options.output):
        print(path)


if __name__ == "__main__":
    sys.exit(main())
