"""What the page shows, as JSON values: tables, curves, histograms and a sample of sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from ednd_nmt.evaluation.arrays import Vector
from ednd_nmt.evaluation.calibration import (
    COLUMN,
    Calibration,
    expected_calibration_error,
    is_bad,
    reliability,
)
from ednd_nmt.evaluation.columns import Columns
from ednd_nmt.evaluation.detection import roc_curve
from ednd_nmt.evaluation.evaluate import Evaluation
from ednd_nmt.evaluation.quality import sentence_metric
from ednd_nmt.evaluation.rejection import rejection_curve
from ednd_nmt.evaluation.tables import MEASURE_NAMES, legend, tables
from ednd_nmt.records import Sentence, read_records

POINTS = 201  # of a drawn curve
BINS = 30


def report_data(
    evaluation: Evaluation,
    title: str,
    sentences: int,
    calibrations: Mapping[str, Calibration] | None = None,
) -> dict[str, Any]:
    """Everything that the page needs.

    Args:
        evaluation: the figures, with the data they came from.
        title: heading of the page.
        sentences: at most so many sentences of each set are listed, the same ones for every system.
        calibrations: by system; adds ``p_bad`` to its sentences and a reliability diagram.

    Raises:
        UserError: a system lacks a measure of its calibration.
    """
    calibrations = calibrations or {}
    metric = sentence_metric(evaluation.settings.quality)
    return {
        "title": title,
        "in_domain": evaluation.in_domain,
        "shifted": evaluation.shifted,
        "sizes": evaluation.sizes,
        "systems": list(evaluation.systems),
        "measures": evaluation.measures,
        "measure_names": MEASURE_NAMES,
        "quality": metric.name,
        "quality_higher_is_better": metric.higher_is_better,
        "tables": [asdict(table) for table in tables(evaluation)],
        "legend": legend(evaluation),
        "scores": evaluation.as_dict()["scores"],
        "rejection": {system: _rejection(evaluation, system) for system in evaluation.errors},
        "roc": {system: _roc(evaluation, sets) for system, sets in evaluation.systems.items()},
        "histograms": {system: _histograms(evaluation, sets) for system, sets in evaluation.systems.items()},
        "reliability": {
            system: _reliability(evaluation.systems[system][evaluation.in_domain], calibration)
            for system, calibration in calibrations.items()
        },
        "sentences": _sentences(evaluation, sentences, calibrations),
    }


def _rejection(evaluation: Evaluation, system: str) -> dict[str, Any]:
    error = evaluation.errors[system]
    columns = evaluation.systems[system][evaluation.in_domain]
    drawn: dict[str, Any] = {"measures": {}}
    for measure in evaluation.measures:
        if measure in columns.measures:
            curves = rejection_curve(error, columns.measures[measure])
            drawn["measures"][measure] = _thinned(curves.curve)
            drawn |= {
                "rejected": _thinned(curves.rejected),
                "random": _thinned(curves.random),
                "oracle": _thinned(curves.oracle),
            }
    return drawn


def _roc(evaluation: Evaluation, sets: dict[str, Columns]) -> dict[str, Any]:
    drawn: dict[str, Any] = {}
    for name, measure, in_domain, shifted in _shifted_pairs(evaluation, sets):
        false_positives, true_positives = map(_thinned, roc_curve(in_domain, shifted))
        drawn.setdefault(name, {})[measure] = {"false": false_positives, "true": true_positives}
    return drawn


def _histograms(evaluation: Evaluation, sets: dict[str, Columns]) -> dict[str, Any]:
    """Shares of the sentences per bin; the uppermost bin also holds the largest 1 % of all values."""
    drawn: dict[str, Any] = {}
    for name, measure, in_domain, shifted in _shifted_pairs(evaluation, sets):
        both = np.concatenate([in_domain, shifted])
        low, high = float(both.min()), float(np.quantile(both, 0.99))
        edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
        shares = [np.histogram(np.minimum(v, edges[-1]), edges)[0] / v.size for v in (in_domain, shifted)]
        drawn.setdefault(name, {})[measure] = {
            "edges": _short(edges),
            "in_domain": _short(shares[0]),
            "shifted": _short(shares[1]),
        }
    return drawn


def _shifted_pairs(
    evaluation: Evaluation, sets: dict[str, Columns]
) -> Iterator[tuple[str, str, Vector, Vector]]:
    """Set, measure, in-domain and shifted uncertainties for all that a system has."""
    in_domain = sets[evaluation.in_domain].measures
    for name in evaluation.shifted:
        for measure in evaluation.measures:
            if name in sets and measure in in_domain and measure in sets[name].measures:
                yield name, measure, in_domain[measure], sets[name].measures[measure]


def _reliability(columns: Columns, calibration: Calibration) -> dict[str, Any]:
    metric = sentence_metric(calibration.quality)
    probability = calibration.probability(columns.measures)
    bad = is_bad(columns, calibration.quality, calibration.threshold)
    return {
        "error": expected_calibration_error(probability, bad),
        "meaning": f"{metric.name} {'below' if metric.higher_is_better else 'above'} {calibration.threshold:g}",
        "bins": [asdict(point) for point in reliability(probability, bad)],
    }


def _sentences(evaluation: Evaluation, limit: int, calibrations: Mapping[str, Calibration]) -> dict[str, Any]:
    listed: dict[str, Any] = {}
    for set_name in [evaluation.in_domain, *evaluation.shifted]:
        holders = {name: sets[set_name] for name, sets in evaluation.systems.items() if set_name in sets}
        chosen = _sample(holders, limit)
        listed[set_name] = {
            system: _listed(columns, chosen, evaluation, calibrations.get(system))
            for system, columns in holders.items()
        }
    return listed


def _sample(holders: dict[str, Columns], limit: int) -> set[int]:
    """Positions of the sentences listed: half of them the least sure ones, the rest spread evenly over the set.

    "Least sure" is the mean rank over the systems, each by its first measure.
    """
    size = len(next(iter(holders.values())))
    if limit >= size:
        return set(range(size))
    ranks = [np.argsort(np.argsort(next(iter(columns.measures.values())))) for columns in holders.values()]
    by_doubt = np.argsort(-np.mean(ranks, axis=0), kind="stable")
    rest = np.sort(by_doubt[limit // 2 :])
    spread = rest[np.linspace(0, rest.size - 1, limit - limit // 2).astype(int)]
    return {*by_doubt[: limit // 2].tolist(), *spread.tolist()}


def _listed(
    columns: Columns, chosen: set[int], evaluation: Evaluation, calibration: Calibration | None
) -> list[dict[str, Any]]:
    metric = sentence_metric(evaluation.settings.quality)
    _, records = read_records(columns.path)
    kept = [(i, record) for i, record in enumerate(records) if i in chosen]
    scores: list[float | None] = [None] * len(kept)
    if columns.references is not None:
        references = [columns.references[i] for i, _ in kept]
        scores = list(metric.sentence_scores([columns.translations[i] for i, _ in kept], references))
    measures = dict(columns.measures)
    if calibration is not None:
        measures[COLUMN] = calibration.probability(columns.measures)
    return [
        _sentence(record, score, {name: float(values[i]) for name, values in measures.items()})
        for (i, record), score in zip(kept, scores, strict=True)
    ]


def _sentence(record: Sentence, quality: float | None, measures: dict[str, float]) -> dict[str, Any]:
    best = record.hypotheses[0]
    return {
        "id": record.id,
        "source": record.source,
        "reference": record.reference,
        "text": best.text,
        "tokens": best.tokens,
        "quality": None if quality is None else round(quality, 2),
        "measures": {name: float(f"{value:.7g}") for name, value in measures.items()},
        "token_measures": best.token_measures,
    }


def _thinned(curve: Vector) -> list[float]:
    return _short(curve[np.unique(np.linspace(0, curve.size - 1, POINTS).astype(int))])


def _short(values: Vector) -> list[float]:
    return [float(f"{value:.5g}") for value in values]
