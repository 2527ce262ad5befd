"""A figure with its interval and the signature that makes it comparable, in the manner of sacreBLEU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ednd_nmt.evaluation.bootstrap import Interval


@dataclass(frozen=True)
class Figure:
    """What a figure is: its name and how it is read."""

    name: str
    unit: str  # "%", "points" of the quality metric, or "" for a plain number
    higher_is_better: bool
    meaning: str
    precision: int = 1


FIGURES: dict[str, Figure] = {
    figure.name: figure
    for figure in (
        Figure("BLEU", "%", True, "corpus BLEU"),
        Figure("chrF", "%", True, "corpus chrF"),
        Figure(
            "PRR", "%", True, "prediction rejection ratio: 0 = random order, 100 = order of the true errors"
        ),
        Figure("R-AUC", "points", False, "area under the error retention curve (Shifts)"),
        Figure("F1-AUC", "", True, "area under the F1 retention curve (Shifts)", 3),
        Figure("F1@95", "", True, "F1 when 95 % of the sentences are kept (Shifts)", 3),
        Figure("AURC", "points", False, "area under the risk-coverage curve"),
        Figure(
            "truncated PRR",
            "",
            True,
            "LM-Polygraph's PRR: retained sentences only, rejection stopped early",
            3,
        ),
        Figure("Spearman", "", True, "rank correlation with the error", 3),
        Figure("Kendall", "", True, "Kendall's tau-b with the error", 3),
        Figure("Pearson", "", True, "linear correlation with the error", 3),
        Figure(
            "ROC-AUC", "%", True, "how often a shifted sentence is the less sure one of a pair: 50 = chance"
        ),
        Figure("AUPR", "%", True, "average precision of finding shifted sentences"),
        Figure("FPR@95", "%", False, "false alarms when 95 % of the shifted sentences are found"),
        Figure("ECE", "%", False, "expected calibration error of p_bad: 0 = as often bad as promised"),
        Figure("Brier", "", False, "mean squared difference of p_bad and the outcome", 3),
        Figure("token AP", "%", True, "average precision of finding wrong tokens"),
        Figure("token ROC-AUC", "%", True, "how often the wrong one of two tokens is the less sure one"),
    )
}


@dataclass(frozen=True)
class Signature:
    """Named choices behind a figure, in order; those that are None are left out."""

    fields: Mapping[str, str | int | float | None]

    def format(self) -> str:
        """``name:value|name:value``; a value that is itself a signature stands in square brackets."""
        return "|".join(
            f"{name}:{value:g}" if isinstance(value, float) else f"{name}:{value}"
            for name, value in self.fields.items()
            if value is not None
        )


@dataclass(frozen=True)
class Score:
    """One figure of one system, with its 95 % interval where it has one."""

    figure: Figure
    score: float
    signature: Signature
    interval: Interval | None = None

    def format(self, score_only: bool = False) -> str:
        """``PRR = 41.3 (μ = 41.2 ± 2.1)``, or only the number."""
        precision = self.figure.precision
        number = f"{self.score:.{precision}f}"
        if score_only:
            return number
        text = f"{self.figure.name} = {number}"
        if self.interval is not None:
            text += f" (μ = {self.interval.mean:.{precision}f} ± {self.interval.half_width:.{precision}f})"
        return text

    def as_dict(self) -> dict[str, Any]:
        """The score as JSON values; ``confidence`` is null where there is no interval."""
        return {
            "figure": self.figure.name,
            "score": float(f"{self.score:.7g}"),
            "unit": self.figure.unit,
            "higher_is_better": self.figure.higher_is_better,
            "confidence": None
            if self.interval is None
            else {
                "level": 0.95,
                "mean": float(f"{self.interval.mean:.7g}"),
                "low": float(f"{self.interval.low:.7g}"),
                "high": float(f"{self.interval.high:.7g}"),
            },
            "signature": self.signature.format(),
        }
