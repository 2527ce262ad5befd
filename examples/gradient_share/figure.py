"""The picture of the analysis: where the gradient goes, and what the student has learnt meanwhile."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ednd_nmt.errors import UserError
from ednd_nmt.evaluation.figures import COLORS, drawing, save


def require_matplotlib() -> None:
    """Raises:
    UserError: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UserError(
            "The figure needs matplotlib: pip install matplotlib, or give --no-figure."
        ) from error


def save_figure(results: dict[str, Any], folder: Path) -> list[Path]:
    """Draw the results of ``examples.gradient_share`` into ``folder`` as SVG and PNG; returns the files."""
    with drawing() as pyplot:
        figure, panels = pyplot.subplots(2, 2, figsize=(7.0, 5.0), layout="constrained")
        for axes, start in zip(panels[0], ("uniform", "mistaken"), strict=True):
            for (objective, points), style in zip(
                _by_objective(results["by_classes"], start), _STYLES, strict=True
            ):
                shares = [100 * point["shares"]["top class"] for point in points]
                axes.plot([point["classes"] for point in points], shares, label=objective, **style)
            axes.set_xlabel("classes K")
        trained = results["training"]
        for stages, style in zip(trained["stages"].values(), _STYLES, strict=True):
            updates, shares, probabilities = _log_means(stages)
            panels[1][0].plot(updates, shares, **style)
            panels[1][1].plot(updates, probabilities, **style)
        panels[1][0].set_xlabel("gradient number")
        panels[1][1].set(ylim=(0, 100), xlabel="gradient number", ylabel="%")
        panels[1][1].axhline(100 * trained["ensemble"], color="0.4", linewidth=1, linestyle=":")
        panels[1][1].annotate(
            "ensemble",
            (1, 100 * trained["ensemble"]),
            xytext=(0, 2),
            textcoords="offset points",
            color="0.3",
        )
        classes = f"{trained['classes']:,}"
        titles = (
            "a  before training: share of the top class",
            "b  student sure of the rival: share of the top class",
            f"c  training, K = {classes}: share of the top class",
            f"d  training, K = {classes}: probability of the top class",
        )
        for axes, title in zip(panels.flat, titles, strict=True):
            axes.set_title(title, loc="left", fontsize=7.5)
            axes.grid(color="0.92", linewidth=0.6)
            axes.spines[["top", "right"]].set_visible(False)
        for axes in (*panels[0], panels[1][0]):
            axes.set(yscale="log", ylim=(1e-3, 200), ylabel="% of |gradient|")
            axes.yaxis.set_major_formatter("{x:g}")
        for axes in panels.flat:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:,.0f}")
            axes.minorticks_off()
        figure.legend(
            *panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False
        )
        return save(figure, folder, "gradient_share")


_STYLES: list[dict[str, Any]] = [
    {"color": COLORS[1], "marker": "s", "markersize": 3.5, "linestyle": (0, (5, 1.5)), "linewidth": 1.4},
    {"color": COLORS[2], "marker": "^", "markersize": 3.5, "linestyle": (0, (3, 1, 1, 1)), "linewidth": 1.4},
    {"color": COLORS[0], "marker": "o", "markersize": 3.5, "linestyle": "-", "linewidth": 1.4},
]


def _by_objective(points: list[dict[str, Any]], start: str) -> list[tuple[str, list[dict[str, Any]]]]:
    chosen: dict[str, list[dict[str, Any]]] = {}
    for point in points:
        if point["start"] == start:
            chosen.setdefault(point["objective"], []).append(point)
    return list(chosen.items())


def _log_means(stages: list[dict[str, Any]]) -> tuple[list[float], list[float], list[float]]:
    """Numbers of the gradients, shares and probabilities (%) of the top class, averaged over tenths of a decade."""
    bins: dict[int, list[tuple[float, float, float]]] = {}
    for stage in stages:
        number = stage["update"] + 1
        values = (number, 100 * stage["shares"]["top class"], 100 * stage["top_probability"])
        bins.setdefault(round(10 * math.log10(number)), []).append(values)
    numbers, shares, probabilities = zip(
        *([sum(column) / len(points) for column in zip(*points, strict=True)] for points in bins.values()),
        strict=True,
    )
    return list(numbers), list(shares), list(probabilities)
