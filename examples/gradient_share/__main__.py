"""How much of the gradient of each Dirichlet objective falls on the top class, as K and the student grow.

    python -m examples.gradient_share --output runs/gradient_share

writes ``results.json``, ``tables.md`` and ``gradient_share.svg`` and ``.png``, in about a minute.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

import ednd_nmt
from ednd_nmt.errors import exit_status
from ednd_nmt.files import atomic_writer
from ednd_nmt.option_types import at_least
from examples.gradient_share.analysis import (
    GROUPS,
    MEMBERS,
    OBJECTIVES,
    SPREAD,
    TOP,
    gradient,
    group_shares,
    mistaken_student,
    sample_ensemble,
    train,
    uniform_student,
)
from examples.gradient_share.figure import require_matplotlib, save_figure
from examples.reporting import markdown_table, signature, write_json

STARTS = {"uniform": uniform_student, "mistaken": mistaken_student}
SHOWN_UPDATES = (0, 1, 3, 10, 20, 30, 50, 70, 100)


def by_classes(sizes: list[int], tokens: int, seed: int) -> list[dict[str, Any]]:
    """Shares of the gradient at the two starts, for every K and objective: means over the tokens."""
    points = []
    for classes in sizes:
        statistics = sample_ensemble(classes, tokens, seed)
        for start, student in STARTS.items():
            for name, objective in OBJECTIVES.items():
                shares = group_shares(gradient(objective, student(statistics), statistics))
                means = {group: float(share.mean()) for group, share in shares.items()}
                ranges = {group: [float(share.min()), float(share.max())] for group, share in shares.items()}
                points.append(
                    {"classes": classes, "start": start, "objective": name, "shares": means, "ranges": ranges}
                )
    return points


def training(classes: int, tokens: int, updates: int, seed: int) -> dict[str, Any]:
    """Every objective's gradient descent on the same tokens."""
    statistics = sample_ensemble(classes, tokens, seed)
    stages = {
        name: [stage._asdict() for stage in train(objective, statistics, updates)]
        for name, objective in OBJECTIVES.items()
    }
    precision = ednd_nmt.proxy_target(statistics).precision
    return {
        "classes": classes,
        "ensemble": float(statistics.mean[:, 0].mean()),
        "mkl": float(statistics.mkl.mean()),
        "target_precision": float(precision.mean()),
        "stages": stages,
    }


def tables(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    trained = results["training"]
    parts = []
    for start, title in (
        ("uniform", "Before training (uniform student)"),
        ("mistaken", "Student sure of the first rival, one of the next 9, instead of the top class"),
    ):
        rows: dict[int, list[str]] = {}
        for point in results["by_classes"]:
            if point["start"] == start:
                shares = [_percent(share) for share in point["shares"].values()]
                rows.setdefault(point["classes"], []).append(" / ".join(shares))
        body = [[f"{classes:,}", *cells] for classes, cells in rows.items()]
        parts.append(
            f"{title}: % of |gradient| on {' / '.join(GROUPS)}\n\n" + markdown_table(["K", *OBJECTIVES], body)
        )
    body = [
        [
            str(stages[0]["update"]),
            *(f"{_percent(s['shares']['top class'])} ({_percent(s['top_probability'])})" for s in stages),
        ]
        for stages in zip(*trained["stages"].values(), strict=True)
        if stages[0]["update"] in SHOWN_UPDATES
    ]
    parts.append(
        f"In training, K = {trained['classes']:,}: % of |gradient| on the top class (and its probability, %; the "
        f"ensemble gives it {_percent(trained['ensemble'])})\n\n"
        + markdown_table(["update", *OBJECTIVES], body)
    )
    return "\n".join([*parts, f"`{results['signature']}`\n"])


def _percent(share: float) -> str:
    """Two significant digits, ``52``, ``1.6``, ``0.0071``; what is smaller than 0.0001 % is 0."""
    percent = 100 * share
    if percent >= 10:
        return f"{percent:.0f}"
    return f"{percent:.2g}" if percent >= 1e-4 else "0"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m examples.gradient_share",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output", type=Path, default=Path("runs/gradient_share"), help="folder")
    parser.add_argument(
        "--classes", type=at_least(2), nargs="+", default=[10, 30, 100, 300, 1000, 3000, 10000, 30000, 100000]
    )
    parser.add_argument("--training-classes", type=at_least(2), default=40000)
    parser.add_argument("--tokens", type=at_least(1), default=8, help="independent samples that are averaged")
    parser.add_argument("--updates", type=at_least(1), default=120)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-figure", action="store_true", help="do without matplotlib")
    return exit_status(partial(_run, parser.parse_args(arguments)))


def _run(options: argparse.Namespace) -> None:
    if not options.no_figure:
        require_matplotlib()
    settings = {"members": MEMBERS, "top": TOP, "spread": SPREAD, "tokens": options.tokens}
    settings |= {"updates": options.updates, "dtype": "float64", "seed": options.seed}
    results = {
        "signature": signature(settings, "torch"),
        "by_classes": by_classes(options.classes, options.tokens, options.seed),
        "training": training(options.training_classes, options.tokens, options.updates, options.seed),
    }
    write_json(options.output / "results.json", results)
    with atomic_writer(options.output / "tables.md") as stream:
        stream.write(tables(results))
    print(tables(results))
    if not options.no_figure:
        save_figure(results, options.output)


if __name__ == "__main__":
    sys.exit(main())
