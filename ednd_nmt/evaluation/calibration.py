"""From uncertainty to a probability: how likely is it that this translation is bad?

A logistic map from one or several measures is fitted on a validation file, with "bad" meaning that the
quality of the best hypothesis falls below a threshold. It is saved as JSON and needs only numpy to be
applied.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt

from ednd_nmt.errors import UserError
from ednd_nmt.evaluation.arrays import Vector, paired_vectors
from ednd_nmt.evaluation.columns import Columns
from ednd_nmt.evaluation.quality import sentence_metric
from ednd_nmt.files import from_json, read_json
from ednd_nmt.records import Header, Sentence

FORMAT = "ednd-nmt.calibration"
COLUMN = "p_bad"  # the name under which the probability is written
RELIABILITY_BINS = 10  # of equal width


@dataclass(frozen=True)
class Calibration:
    """``p_bad = sigmoid(intercept + sum_i weight_i * (u_i - center_i) / scale_i)``."""

    measures: tuple[str, ...]
    centers: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float
    quality: str  # a name that sentence_metric knows
    threshold: float  # bad = quality below this (above it for TER)
    sentences: int  # that it was fitted on
    predictive: str = ""  # of their file's header: what the measures are of; empty: unknown
    conditions: str = ""  # of their file's header: the search, and how the n-best list is weighed

    def probability(self, measures: Mapping[str, npt.ArrayLike]) -> Vector:
        """``p_bad`` in [0, 1] of each sentence.

        Args:
            measures: by name, scalars or ``[n]``; others than the needed ones are ignored.

        Raises:
            UserError: a measure that the calibration was fitted on is missing.
        """
        missing = [name for name in self.measures if name not in measures]
        if missing:
            raise UserError(
                f"The calibration needs the measure {missing[0]!r}, which this system does not have; "
                f"fit another one on a file of this system."
            )
        logit: Vector = np.float64(self.intercept)
        for name, center, scale, weight in zip(
            self.measures, self.centers, self.scales, self.weights, strict=True
        ):
            logit = logit + weight * (np.asarray(measures[name], dtype=np.float64) - center) / scale
        # exp of minus the absolute value never overflows.
        small = np.exp(-np.abs(logit))
        return np.asarray(np.where(logit >= 0, 1.0, small) / (1.0 + small))

    def mismatch(self, header: Header) -> str | None:
        """How the system or the search that it was fitted on differs from that of ``header``; None if they are the same.

        Translations that were given and not searched for have no search to differ in.
        """
        pairs = [(self.predictive, header.predictive)]
        if header.beam is not None:
            pairs.append((self.conditions, header.conditions))
        for ours, theirs in pairs:
            if ours not in ("", theirs):
                return f"{ours}, not {theirs}"
        return None

    def apply(self, sentence: Sentence) -> Sentence:
        """The sentence with ``p_bad`` as a further measure.

        Raises:
            UserError: a measure that the calibration was fitted on is missing.
        """
        probability = float(self.probability(sentence.measures))
        return replace(sentence, measures={**sentence.measures, COLUMN: probability})

    @property
    def meaning(self) -> str:
        """What a bad translation is: ``sentence BLEU below 30``."""
        metric = sentence_metric(self.quality)
        return f"{metric.name} {'below' if metric.higher_is_better else 'above'} {self.threshold:g}"

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, "version": 1, **asdict(self)}, indent=1, allow_nan=False)


@dataclass(frozen=True)
class ReliabilityBin:
    """Sentences with about the same ``p_bad``."""

    predicted: float  # mean p_bad
    observed: float  # share that is bad
    count: int


def is_bad(columns: Columns, quality: str, threshold: float) -> Vector:
    """1 where the best hypothesis is bad, else 0; ``[n]``.

    Raises:
        UserError: the file has no references, or an unknown quality metric.
    """
    if columns.references is None:
        raise UserError(f"{columns.path} has no references, so nothing says which translations are bad.")
    metric = sentence_metric(quality, columns.header.target_lang)
    scores = metric.sentence_scores(columns.translations, columns.references, columns.sources)
    bad = scores < threshold if metric.higher_is_better else scores > threshold
    return bad.astype(np.float64)


def fit_calibration(
    columns: Columns, measures: Sequence[str], quality: str = "bleu", threshold: float = 30.0
) -> Calibration:
    """Fit by maximum likelihood with a weak ridge (scikit-learn's logistic regression, C = 100).

    Raises:
        UserError: no measure or an unknown one, no references, or all sentences on one side of the threshold.
    """
    from sklearn.linear_model import LogisticRegression

    unknown = [name for name in measures if name not in columns.measures]
    if unknown or not measures:
        what = f"does not have the measure {unknown[0]!r}" if unknown else "was given no measure to calibrate"
        raise UserError(f"{columns.path} {what}; it has {', '.join(columns.measures)}.")
    bad = is_bad(columns, quality, threshold)
    if bad.min() == bad.max():
        side = "bad" if bad[0] else "good"
        raise UserError(
            f"All {len(columns)} translations of {columns.path} are {side} by {quality} {threshold:g}; "
            "choose a threshold between their scores."
        )
    values = np.stack([columns.measures[name] for name in measures], axis=1)
    # The deviation of equal values is not 0 but what rounding leaves, in which other values would be astronomical.
    centers, differs = values.mean(axis=0), np.ptp(values, axis=0) > 0
    scales = np.where(differs, values.std(axis=0), 1.0)
    fitted = LogisticRegression(C=100.0, max_iter=1000).fit((values - centers) / scales, bad)
    return Calibration(
        tuple(measures),
        tuple(map(float, centers)),
        tuple(map(float, scales)),
        tuple(map(float, fitted.coef_[0])),
        float(fitted.intercept_[0]),
        quality,
        float(threshold),
        len(columns),
        columns.header.predictive,
        columns.header.conditions,
    )


def read_calibration(path: str | os.PathLike[str]) -> Calibration:
    """Read what :meth:`Calibration.to_json` wrote.

    Raises:
        UserError: the file cannot be read or is not a calibration.
    """
    record = read_json(path)
    if not isinstance(record, dict) or record.get("format") != FORMAT or record.get("version") != 1:
        raise UserError(f"{path} is not a calibration of version 1; make one with ednd-nmt calibrate.")
    fields = {name: value for name, value in record.items() if name not in ("format", "version")}
    calibration = from_json(Calibration, fields, os.fspath(path))
    columns = (calibration.measures, calibration.centers, calibration.scales, calibration.weights)
    if len(set(map(len, columns))) != 1:
        raise UserError(f"{path} does not have one center, scale and weight for each measure.")
    numbers = [*calibration.centers, *calibration.scales, *calibration.weights, calibration.intercept]
    if not (np.isfinite([*numbers, calibration.threshold]).all() and all(s > 0 for s in calibration.scales)):
        raise UserError(f"{path} has a number that is not finite, or a scale that is not above 0.")
    return calibration


def reliability_bin(probability: Vector, bins: int = RELIABILITY_BINS) -> npt.NDArray[np.intp]:
    """Which of the bins each probability falls into; 1 belongs to the last."""
    return np.minimum((probability * bins).astype(np.intp), bins - 1)


def reliability(
    probability: npt.ArrayLike, bad: npt.ArrayLike, bins: int = RELIABILITY_BINS
) -> list[ReliabilityBin]:
    """The points of a reliability diagram: equal-width bins of ``p_bad``, empty ones left out.

    Args:
        probability: ``[n]`` in [0, 1].
        bad: ``[n]``, 1 = bad.

    Raises:
        UserError: lengths differ, NaN, or a probability outside [0, 1].
    """
    probability, bad = paired_vectors(probability, bad, ("p_bad", "the outcome"))
    if probability.min() < 0 or probability.max() > 1:
        raise UserError("p_bad must lie between 0 and 1.")
    place = reliability_bin(probability, bins)
    return [
        ReliabilityBin(
            float(probability[place == i].mean()), float(bad[place == i].mean()), int(np.sum(place == i))
        )
        for i in range(bins)
        if np.any(place == i)
    ]


def expected_calibration_error(
    probability: npt.ArrayLike, bad: npt.ArrayLike, bins: int = RELIABILITY_BINS
) -> float:
    """ECE, 0 to 1: mean over the sentences of |predicted - observed| of their bin (arXiv 1706.04599)."""
    points = reliability(probability, bad, bins)
    total = sum(point.count for point in points)
    return sum(point.count * abs(point.predicted - point.observed) for point in points) / total


def brier_score(probability: npt.ArrayLike, bad: npt.ArrayLike) -> float:
    """Mean squared difference of ``p_bad`` and the outcome; smaller = better."""
    probability, bad = paired_vectors(probability, bad, ("p_bad", "the outcome"))
    return float(np.mean((probability - bad) ** 2))
