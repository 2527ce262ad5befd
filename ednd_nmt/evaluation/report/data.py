"""What the page shows, as JSON values: tables, curves, histograms and a sample of sentences."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from ednd_nmt.evaluation.arrays import Vector
from ednd_nmt.evaluation.columns import Columns
from ednd_nmt.evaluation.detection import roc_curve
from ednd_nmt.evaluation.evaluate import Evaluation
from ednd_nmt.evaluation.histograms import histogram
from ednd_nmt.evaluation.quality import sentence_metric
from ednd_nmt.evaluation.rejection import rejection_curve
from ednd_nmt.evaluation.tables import MEASURE_NAMES, all_measures, legend, tables
from ednd_nmt.record_reader import read_chosen
from ednd_nmt.records import Sentence

POINTS = 201  # of a drawn curve


def report_data(evaluation: Evaluation, title: str, sentences: int) -> dict[str, Any]:
    """Everything that the page needs.

    Args:
        evaluation: the figures, with the data they came from.
        title: heading of the page.
        sentences: at most so many sentences of each set are listed, the same ones for every system.
    """
    metric = sentence_metric(evaluation.settings.quality)
    return {
        "title": title,
        "in_domain": evaluation.in_domain,
        "shifted": evaluation.shifted,
        "sizes": evaluation.sizes,
        "systems": list(evaluation.systems),
        "baseline": evaluation.baseline,
        "measures": all_measures(evaluation),
        "first_system": _first_system(evaluation),
        "measure_names": MEASURE_NAMES,
        "quality": metric.name,
        "quality_higher_is_better": metric.higher_is_better,
        "tables": [asdict(table) for table in tables(evaluation)],
        "all_tables": [asdict(table) for table in tables(evaluation, all_measures(evaluation))],
        "legend": legend(evaluation, name_hidden=False),  # the page can show them
        "scores": evaluation.as_dict()["scores"],
        "rejection": {system: _rejection(evaluation, system) for system in evaluation.errors},
        "roc": {system: _roc(evaluation, sets) for system, sets in evaluation.systems.items()},
        "histograms": {system: _histograms(evaluation, sets) for system, sets in evaluation.systems.items()},
        "reliability": {
            system: {
                "meaning": evaluation.settings.calibrations[system].meaning,
                "bins": [asdict(point) for point in bins],
            }
            for system, bins in evaluation.reliability.items()
        },
        "sentences": _sentences(evaluation, sentences),
    }


def _first_system(evaluation: Evaluation) -> str:
    """The system that the list of sentences opens with: a student if there is one, else an ensemble, else the first."""
    kinds = {name: sets[evaluation.in_domain].header.system for name, sets in evaluation.systems.items()}
    for wanted in ("student", "ensemble"):
        for name, kind in kinds.items():
            if kind == wanted:
                return name
    return next(iter(kinds))


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
    drawn: dict[str, Any] = {}
    for name, measure, in_domain, shifted in _shifted_pairs(evaluation, sets):
        bins = histogram(in_domain, shifted)
        drawn.setdefault(name, {})[measure] = {key: _short(value) for key, value in vars(bins).items()}
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


def _sentences(evaluation: Evaluation, limit: int) -> dict[str, Any]:
    listed: dict[str, Any] = {}
    for set_name in [evaluation.in_domain, *evaluation.shifted]:
        holders = {name: sets[set_name] for name, sets in evaluation.systems.items() if set_name in sets}
        chosen = _sample(holders, limit)
        listed[set_name] = {
            system: _listed(columns, chosen, evaluation) for system, columns in holders.items()
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


def _listed(columns: Columns, chosen: Collection[int], evaluation: Evaluation) -> list[dict[str, Any]]:
    """The chosen sentences with their tokens, which the columns do not keep."""
    places = sorted(chosen)
    scores: list[float | None] = [None] * len(places)
    if columns.references is not None:
        metric = sentence_metric(evaluation.settings.quality, columns.header.target_lang)
        texts = (columns.translations, columns.references, columns.sources)
        scores = list(metric.sentence_scores(*([text[i] for i in places] for text in texts)))
    return [
        _sentence(record, score, {name: float(values[i]) for name, values in columns.measures.items()})
        for (i, record), score in zip(read_chosen(columns.path, chosen), scores, strict=True)
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
