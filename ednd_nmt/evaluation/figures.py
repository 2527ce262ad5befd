"""Figures for papers through matplotlib: curves, histograms and reliability, as SVG and PNG.

They show the measures that the tables show (see :func:`ednd_nmt.evaluation.tables.shown_measures`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ednd_nmt.errors import UserError
from ednd_nmt.evaluation.calibration import COLUMN
from ednd_nmt.evaluation.detection import roc_curve
from ednd_nmt.evaluation.evaluate import Evaluation, Key
from ednd_nmt.evaluation.histograms import histogram
from ednd_nmt.evaluation.rejection import rejection_curve
from ednd_nmt.evaluation.tables import shown_measures
from ednd_nmt.files import whole_file

FORMATS = ("svg", "png")
PANEL = (3.2, 2.7)  # inches
# Distinct without colour, too: every line has its own dashes, which matplotlib cycles beside these colours.
COLORS = ("#0072b2", "#d55e00", "#00795a", "#a63d7d", "#7a6400", "#5a55c2")
DASHES = ("-", (0, (5, 1.5)), (0, (3, 1, 1, 1)), (0, (1, 1)))


def save_figures(evaluation: Evaluation, folder: str | os.PathLike[str]) -> list[Path]:
    """Write ``rejection``, ``reliability``, ``roc-<set>`` and ``histogram-<set>`` into ``folder``; returns the files.

    A figure without data (no references, no calibration, no shifted set, none of the shown measures in it) is left out.

    Raises:
        UserError: matplotlib is not installed, or the folder cannot be written to.
    """
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"Cannot write to {target}: {error.strerror}; choose another folder.") from error
    drawn = {}
    with drawing() as pyplot:
        if evaluation.errors:
            drawn["rejection"] = _rejection(pyplot, evaluation)
        for name in filter(partial(_detecting_measures, evaluation), evaluation.shifted):
            drawn[f"roc-{name}"] = _roc(pyplot, evaluation, name)
            drawn[f"histogram-{name}"] = _histograms(pyplot, evaluation, name)
        if evaluation.reliability:
            drawn["reliability"] = _reliability(pyplot, evaluation)
        return [path for name, figure in drawn.items() for path in save(figure, target, name)]


@contextlib.contextmanager
def drawing() -> Iterator[Any]:
    """matplotlib's ``pyplot`` without a screen, in the style of all figures; for drawing and for :func:`save`.

    Text in SVG can be edited, and there is no date or random name, so that the same data give the same file.

    Raises:
        UserError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise UserError("Figures need matplotlib: pip install matplotlib.") from error
    matplotlib.use("agg")
    from matplotlib import pyplot

    with matplotlib.rc_context({"font.size": 8, "svg.fonttype": "none", "svg.hashsalt": "ednd_nmt"}):
        yield pyplot


def save(figure: Any, folder: Path, stem: str) -> list[Path]:
    """Write a figure of :func:`drawing` as ``<stem>.svg`` and ``<stem>.png``, each whole or not at all, and close it.

    Raises:
        UserError: there is a device or a pipe of that name.
    """
    from matplotlib import pyplot

    files = [folder / f"{stem}.{kind}" for kind in FORMATS]
    for path, kind in zip(files, FORMATS, strict=True):
        with whole_file(path) as partial_file:
            figure.savefig(
                partial_file, format=kind, dpi=200, metadata={"Date": None} if kind == "svg" else None
            )
    pyplot.close(figure)
    return files


def _detecting_measures(evaluation: Evaluation, set_name: str) -> list[str]:
    """The shown measures that some system has both in domain and of the shifted set."""
    holders = [sets for sets in evaluation.systems.values() if set_name in sets]
    return [
        measure
        for measure in shown_measures(evaluation)
        if any(
            measure in sets[evaluation.in_domain].measures and measure in sets[set_name].measures
            for sets in holders
        )
    ]


def _panels(pyplot: Any, count: int) -> tuple[Any, list[Any]]:
    figure, axes = pyplot.subplots(
        1, count, figsize=(PANEL[0] * count, PANEL[1]), squeeze=False, sharey=True, layout="constrained"
    )
    return figure, list(axes[0])


def _rejection(pyplot: Any, evaluation: Evaluation) -> Any:
    """One panel per system: every measure between random and oracle."""
    figure, panels = _panels(pyplot, len(evaluation.errors))
    for axes, (system, error) in zip(panels, evaluation.errors.items(), strict=True):
        columns = evaluation.systems[system][evaluation.in_domain]
        for i, measure in enumerate(m for m in shown_measures(evaluation) if m in columns.measures):
            curves = rejection_curve(error, columns.measures[measure])
            score = evaluation.scores.get(Key(system, evaluation.in_domain, measure, "PRR"))
            label = measure if score is None else f"{measure} {score.format(score_only=True)}"
            axes.plot(100 * curves.rejected, curves.curve, label=label, **_style(i))
        bounds = rejection_curve(error, error)  # the same for every measure
        for name, shade in (("random", "0.6"), ("oracle", "0.2")):
            axes.plot(
                100 * bounds.rejected, getattr(bounds, name), label=name, color=shade, linewidth=1, zorder=0
            )
        axes.set(title=f"{system} (PRR, %)", xlabel="sentences rejected, %")
        axes.legend(frameon=False, fontsize=6.5)
    panels[0].set_ylabel("mean error")
    return figure


def _roc(pyplot: Any, evaluation: Evaluation, set_name: str) -> Any:
    """One panel per system that has the set: every measure."""
    holders = {system: sets for system, sets in evaluation.systems.items() if set_name in sets}
    figure, panels = _panels(pyplot, len(holders))
    for axes, (system, sets) in zip(panels, holders.items(), strict=True):
        in_domain, shifted = sets[evaluation.in_domain].measures, sets[set_name].measures
        for i, measure in enumerate(m for m in shown_measures(evaluation) if m in in_domain and m in shifted):
            false_positives, true_positives = roc_curve(in_domain[measure], shifted[measure])
            score = evaluation.scores[Key(system, set_name, measure, "ROC-AUC")]
            label = f"{measure} {score.format(score_only=True)}"
            axes.plot(100 * false_positives, 100 * true_positives, label=label, **_style(i))
        axes.plot([0, 100], [0, 100], color="0.6", linewidth=1, zorder=0)
        axes.set(title=f"{system}: {set_name} (ROC-AUC, %)", xlabel="false alarms, %")
        axes.legend(frameon=False, fontsize=6.5)
    panels[0].set_ylabel("found, %")
    return figure


def _histograms(pyplot: Any, evaluation: Evaluation, set_name: str) -> Any:
    """One row per measure, one column per system that has the set: in domain grey, shifted coloured."""
    holders = {system: sets for system, sets in evaluation.systems.items() if set_name in sets}
    measures = _detecting_measures(evaluation, set_name)
    size = (PANEL[0] * len(holders), 0.7 * PANEL[1] * len(measures))
    figure, grid = pyplot.subplots(
        len(measures), len(holders), figsize=size, squeeze=False, layout="constrained"
    )
    for row, measure in zip(grid, measures, strict=True):
        for axes, (system, sets) in zip(row, holders.items(), strict=True):
            in_domain, shifted = sets[evaluation.in_domain].measures, sets[set_name].measures
            if measure not in in_domain or measure not in shifted:
                axes.set_axis_off()
                continue
            drawn = histogram(in_domain[measure], shifted[measure])
            for shares, name, color in (
                (drawn.in_domain, evaluation.in_domain, "0.45"),
                (drawn.shifted, set_name, COLORS[1]),
            ):
                axes.stairs(100 * shares, drawn.edges, fill=True, alpha=0.55, color=color, label=name)
            axes.set(title=system, xlabel=measure, ylabel="sentences, %")
            axes.locator_params(axis="x", nbins=6)
            axes.ticklabel_format(axis="x", scilimits=(-2, 4))
            axes.legend(frameon=False, fontsize=6.5)
    return figure


def _reliability(pyplot: Any, evaluation: Evaluation) -> Any:
    """One panel per calibrated system: share of bad translations against the predicted probability."""
    figure, panels = _panels(pyplot, len(evaluation.reliability))
    for axes, (system, bins) in zip(panels, evaluation.reliability.items(), strict=True):
        score = evaluation.scores[Key(system, evaluation.in_domain, COLUMN, "ECE")]
        predicted, observed = ([100 * getattr(b, name) for b in bins] for name in ("predicted", "observed"))
        most = max(point.count for point in bins)
        axes.plot([0, 100], [0, 100], color="0.6", linewidth=1, zorder=0)
        axes.plot(predicted, observed, **_style(0))
        axes.scatter(predicted, observed, s=[4 + 60 * point.count / most for point in bins], color=COLORS[0])
        axes.set(title=f"{system} (ECE {score.format(score_only=True)} %)", xlabel="predicted p_bad, %")
    panels[0].set_ylabel("bad translations, %")
    return figure


def _style(index: int) -> dict[str, Any]:
    return {
        "color": COLORS[index % len(COLORS)],
        "linestyle": DASHES[index % len(DASHES)],
        "linewidth": 1.3,
    }
