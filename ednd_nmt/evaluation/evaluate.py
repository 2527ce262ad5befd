"""Every figure of several systems on an in-domain set and shifted sets, with intervals and p-values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ednd_nmt.errors import UserError, nearest
from ednd_nmt.evaluation import bootstrap
from ednd_nmt.evaluation.arrays import Vector
from ednd_nmt.evaluation.calibration import (
    COLUMN,
    RELIABILITY_BINS,
    Calibration,
    ReliabilityBin,
    is_bad,
    reliability,
)
from ednd_nmt.evaluation.columns import Columns, check_same_sentences
from ednd_nmt.evaluation.quality import SentenceMetric, corpus_metrics, sentence_metric
from ednd_nmt.evaluation.resampling import (
    CALIBRATION_FIGURES,
    CalibrationQuality,
    CorpusQuality,
    ErrorDetection,
    Figures,
    ShiftDetection,
)
from ednd_nmt.evaluation.score import FIGURES, Score, Signature
from ednd_nmt.evaluation.token_level import TokenDetection, read_tokens, words_tokenizer
from ednd_nmt.records import Header
from ednd_nmt.version import __version__

ALL_MEASURES = "all"


@dataclass(frozen=True)
class Settings:
    """What can be chosen; every choice that changes a figure is in its signature."""

    quality: str = "bleu"
    resamples: int = bootstrap.RESAMPLES
    seed: int = bootstrap.SEED
    acceptable_error: float = 60.0  # threshold of the F1 figures
    max_rejection: float = 0.5  # of the truncated PRR
    measures: tuple[str, ...] | None = None  # what tables show; see tables.shown_measures
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)  # system -> its map to p_bad
    token_level: bool = False  # also find wrong tokens by the token-level measures
    word_labels: Mapping[str, Path] = field(default_factory=dict)  # system -> its labels, instead of edits
    baselines: tuple[str, ...] = ()  # systems that the others are compared with; the first of all if empty


@dataclass(frozen=True)
class Key:
    """Which figure: of a system on a set; ``measure`` is None for the quality of the translations."""

    system: str
    set: str
    measure: str | None = None
    figure: str = ""


@dataclass(frozen=True)
class Comparison:
    """The paired difference of a figure from that of a baseline."""

    difference: float
    p_value: float


@dataclass
class Evaluation:
    """All figures, ready to be shown."""

    settings: Settings
    systems: dict[str, dict[str, Columns]]  # system -> set -> data
    in_domain: str
    shifted: list[str]
    baselines: tuple[str, ...]
    scores: dict[Key, Score] = field(default_factory=dict)
    comparisons: dict[str, dict[Key, Comparison]] = field(default_factory=dict)  # by baseline
    errors: dict[str, Vector] = field(default_factory=dict)  # system -> sentence errors on the in-domain set
    reliability: dict[str, list[ReliabilityBin]] = field(default_factory=dict)  # of p_bad, in-domain set
    notes: list[str] = field(default_factory=list)  # what could not be computed, and why

    @property
    def baseline(self) -> str:
        """The first of the baselines, from which tables mark what differs."""
        return self.baselines[0]

    @property
    def sizes(self) -> dict[str, int]:
        """Number of sentences of every set."""
        return {name: len(columns) for sets in self.systems.values() for name, columns in sets.items()}

    @property
    def measures(self) -> list[str]:
        """Measures that have a figure, in the order of the files."""
        return list(dict.fromkeys(key.measure for key in self.scores if key.measure is not None))

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON values: flat lists, one entry per figure."""
        return {
            "format": "ednd-nmt.evaluation",
            "version": 1,
            "in_domain": self.in_domain,
            "shifted": self.shifted,
            "sentences": self.sizes,
            "baseline": self.baseline,
            "systems": {
                name: {
                    set_name: {"file": str(columns.path), "system": columns.header.system}
                    for set_name, columns in sets.items()
                }
                for name, sets in self.systems.items()
            },
            "scores": [
                {"system": key.system, "set": key.set, "measure": key.measure, **score.as_dict()}
                for key, score in self.scores.items()
            ],
            "comparisons": [
                {
                    "system": key.system,
                    "baseline": baseline,
                    "set": key.set,
                    "measure": key.measure,
                    "figure": key.figure,
                    "difference": float(f"{comparison.difference:.7g}"),
                    "p_value": float(f"{comparison.p_value:.7g}"),
                }
                for baseline, comparisons in self.comparisons.items()
                for key, comparison in comparisons.items()
            ],
            "reliability": [
                {
                    "system": system,
                    "set": self.in_domain,
                    "bad": self.settings.calibrations[system].meaning,
                    "bins": [asdict(point) for point in bins],
                }
                for system, bins in self.reliability.items()
            ],
            "notes": self.notes,
        }


def evaluate(
    systems: Mapping[str, Mapping[str, Columns]],
    in_domain: str = "test",
    shifted: list[str] | None = None,
    settings: Settings | None = None,
) -> Evaluation:
    """Compute all figures.

    Args:
        systems: data by system and set; systems that share a set must hold the same sentences of it.
        in_domain: the set on which errors are detected and against which shifted sets are.
        shifted: the shifted sets; every other set of the systems if None.

    Raises:
        UserError: systems do not hold the same sentences, or one was not measured alike in all sets; an unknown measure or
            baseline, no system, a calibration of an unknown system or of measures that its system lacks.
    """
    return _Evaluator(systems, in_domain, shifted, settings or Settings()).run()


class _Evaluator:
    def __init__(
        self,
        systems: Mapping[str, Mapping[str, Columns]],
        in_domain: str,
        shifted: list[str] | None,
        settings: Settings,
    ) -> None:
        if shifted is None:
            shifted = sorted({name for sets in systems.values() for name in sets} - {in_domain})
        wanted = [in_domain, *shifted]
        kept = {
            system: {name: sets[name] for name in wanted if name in sets} for system, sets in systems.items()
        }
        for system, columns_of_set in kept.items():
            _check_measured_alike(system, columns_of_set)
        baselines = tuple(dict.fromkeys(settings.baselines)) or (next(iter(systems), ""),)
        for baseline in baselines:
            if baseline not in systems:
                raise UserError(
                    f"The baseline {baseline!r} is not one of the systems: {', '.join(systems) or 'none'}."
                )
        unknown = [system for system in settings.calibrations if system not in systems]
        if unknown:
            raise UserError(
                f"There is a calibration for {unknown[0]!r}, but the systems are {', '.join(systems)}."
            )
        for system, calibration in settings.calibrations.items():
            kept[system] = {name: _with_p_bad(columns, calibration) for name, columns in kept[system].items()}
        self.settings = settings
        self.result = Evaluation(settings, kept, in_domain, shifted, baselines)
        self._distributions: dict[Key, npt.NDArray[np.float64]] = {}

    def run(self) -> Evaluation:
        self._check()
        self._note_what_differs()
        for system, sets in self.result.systems.items():
            for name, columns in sets.items():
                self._quality(system, name, columns)
            self._error_detection(system, sets[self.result.in_domain])
            self._calibration(system, sets[self.result.in_domain])
            if self.settings.token_level:
                self._token_errors(system, sets[self.result.in_domain])
            for name in self.result.shifted:
                if name in sets:
                    self._shift_detection(system, name, sets[self.result.in_domain], sets[name])
        for baseline in self.result.baselines:
            self.result.comparisons[baseline] = self._compare_with(baseline)
        return self.result

    def _check(self) -> None:
        known: dict[str, Columns] = {}
        measures: set[str] = set()
        for sets in self.result.systems.values():
            for name, columns in sets.items():
                check_same_sentences(known.setdefault(name, columns), columns)
                measures |= columns.measures.keys()
        wanted = [name for name in self.settings.measures or () if name != ALL_MEASURES]
        unknown = [name for name in wanted if name not in measures]
        if unknown:
            raise UserError(
                f"No file has the measure {unknown[0]!r}{nearest(unknown[0], measures)}; "
                f"they have {', '.join(sorted(measures))}."
            )

    def _note_what_differs(self) -> None:
        """What the tables do not show of how the systems' files came about."""
        in_domain = {system: sets[self.result.in_domain] for system, sets in self.result.systems.items()}
        baseline = in_domain[self.result.baseline].header
        for system, columns in in_domain.items():
            header, notes = columns.header, self.result.notes
            if header.conditions != baseline.conditions:
                notes.append(f"{system}: {header.conditions}; {self.result.baseline}: {baseline.conditions}.")
            if header.decision is not None:
                notes.append(
                    f"{system}: {header.decision}; figures are of all sentences, those abstained from as well."
                )
            calibration = self.settings.calibrations.get(system)
            mismatch = None if calibration is None else calibration.mismatch(header)
            if mismatch is not None:
                notes.append(
                    f"{system}: the calibration was fitted on {mismatch}: {COLUMN} may be less true."
                )

    def _quality(self, system: str, set_name: str, columns: Columns) -> None:
        if columns.references is None:
            return
        for metric in corpus_metrics(columns.header.target_lang):
            statistics = metric.statistics(columns.translations, columns.references)
            fields = {
                "set": set_name,
                "sentences": len(columns),
                **_translated(columns.header),
                metric.name: f"[{metric.signature}]",
            }
            self._add(
                Key(system, set_name),
                CorpusQuality(metric, statistics),
                [len(columns)],
                fields,
            )

    def _error_detection(self, system: str, columns: Columns) -> None:
        if columns.references is None:
            self.result.notes.append(
                f"{system}: no references in {columns.path}, so no quality and no error detection."
            )
            return
        metric = sentence_metric(self.settings.quality, columns.header.target_lang)
        error = metric.sentence_errors(columns.translations, columns.references, columns.sources)
        self.result.errors[system] = error
        for measure, uncertainty in columns.measures.items():
            fields = self._fields(system, measure, columns) | self._error_fields(metric)
            statistic = ErrorDetection(
                error, uncertainty, self.settings.acceptable_error, self.settings.max_rejection
            )
            self._add(
                Key(system, self.result.in_domain, measure),
                statistic,
                [len(columns)],
                fields,
            )

    def _calibration(self, system: str, columns: Columns) -> None:
        calibration = self.settings.calibrations.get(system)
        if calibration is None or columns.references is None:
            return
        bad = is_bad(columns, calibration.quality, calibration.threshold)
        probability = columns.measures[COLUMN]
        self.result.reliability[system] = reliability(probability, bad)
        fields = self._fields(system, COLUMN, columns) | {
            "bad": calibration.meaning,
            "quality": f"[{sentence_metric(calibration.quality, columns.header.target_lang).signature}]",
            "fitted_on": calibration.sentences,
            "bins": RELIABILITY_BINS,
        }
        place = Key(system, self.result.in_domain, COLUMN)
        self._add(place, CalibrationQuality(probability, bad), [len(columns)], fields)

    def _token_errors(self, system: str, columns: Columns) -> None:
        labels = self.settings.word_labels.get(system)
        tokens = read_tokens(columns.path, labels)
        share = tokens.wrong.mean() if tokens.wrong.size else 0.0
        if share in (0.0, 1.0):
            self.result.notes.append(
                f"{system}: all tokens are {'wrong' if share else 'right'}; nothing to find."
            )
            return
        self.result.notes.append(
            f"{system}: {100 * share:.1f} % of the tokens are wrong, the AP of a random order."
        )
        for measure in tokens.measures:
            fields = {
                "measure": measure,
                "level": "token",
                "set": self.result.in_domain,
                "sentences": len(columns),
                **_translated(columns.header),
                "tokens": int(tokens.wrong.size),
                "labels": "edits" if labels is None else "given",
                "words": words_tokenizer(columns.header.target_lang) if labels is None else None,
            }
            place = Key(system, self.result.in_domain, measure)
            self._add(place, TokenDetection(tokens, measure), [len(columns)], fields)

    def _shift_detection(self, system: str, set_name: str, in_domain: Columns, shifted: Columns) -> None:
        for measure in in_domain.measures:
            if measure not in shifted.measures:
                continue
            fields = self._fields(system, measure, in_domain)
            fields |= {"shifted": set_name, "shifted_sentences": len(shifted)}
            self._add(
                Key(system, set_name, measure),
                ShiftDetection(in_domain.measures[measure], shifted.measures[measure]),
                [len(in_domain), len(shifted)],
                fields,
            )

    def _add(
        self,
        place: Key,
        statistic: Callable[..., Figures],
        sizes: list[int],
        fields: dict[str, Any],
    ) -> None:
        settings = self.settings
        values = bootstrap.point(statistic, sizes)
        draws = bootstrap.bootstrap(statistic, sizes, settings.resamples, settings.seed)
        signature = Signature(
            {**fields, "bs": settings.resamples, "seed": settings.seed, "ednd_nmt": __version__}
        )
        undefined = [name for name, value in values.items() if np.isnan(value)]
        if undefined:
            reason = "there are too few sentences, or all have the same error or the same uncertainty"
            self.result.notes.append(
                f"{place.system}, {place.measure}: not defined, because {reason}: {', '.join(undefined)}."
            )
        for name in values:
            if name in undefined:
                continue
            key = replace(place, figure=name)
            score = Score(FIGURES[name], values[name], signature, bootstrap.interval(draws[name]))
            self.result.scores[key], self._distributions[key] = score, draws[name]

    def _compare_with(self, baseline: str) -> dict[Key, Comparison]:
        found = {}
        for key, draws in self._distributions.items():
            other = replace(key, system=baseline)
            if key.system == baseline or other not in self._distributions:
                continue
            if key.figure in CALIBRATION_FIGURES and self._bad(key.system) != self._bad(baseline):
                continue  # errors at foretelling two different things
            difference = self.result.scores[key].score - self.result.scores[other].score
            p_value = bootstrap.paired_p_value(draws, self._distributions[other], difference)
            found[key] = Comparison(difference, p_value)
        return found

    def _bad(self, system: str) -> str:
        return self.settings.calibrations[system].meaning

    def _fields(self, system: str, measure: str, columns: Columns) -> dict[str, Any]:
        header = columns.header
        calibration = self.settings.calibrations.get(system) if measure == COLUMN else None
        return {
            "measure": measure,
            "of": None if calibration is None else "+".join(calibration.measures),
            "level": "sentence",
            "set": self.result.in_domain,
            "sentences": len(columns),
            "nbest": header.nbest,
            "weighting": header.weighting,
            "T": header.temperature if header.weighting == "posterior" else None,
            **_translated(header),
        }

    def _error_fields(self, metric: SentenceMetric) -> dict[str, Any]:
        return {
            "quality": f"{metric.name}[{metric.signature}]",
            "acceptable": float(self.settings.acceptable_error),
            "max_rejection": float(self.settings.max_rejection),
        }


def _translated(header: Header) -> dict[str, Any]:
    """How translations and tokens came about, for signatures: what does not go without saying."""
    return {
        "combination": header.combination,
        "offset": header.unusual_offset,
        "decoding": None if header.decoding == "mode" else header.decoding,
        "beam": None
        if header.beam == 5
        else header.beam,  # fairseq's default, as for what ``search`` leaves out
        "search": header.search,
        "decision": header.decision,
    }


def _check_measured_alike(system: str, columns_of_set: Mapping[str, Columns]) -> None:
    """Refuse sets that would differ from each other by what was measured and not by their text."""
    for of in ("predictive", "conditions"):
        first: dict[str, str] = {}  # the first set of each kind
        for name, columns in columns_of_set.items():
            first.setdefault(getattr(columns.header, of), name)
        if len(first) > 1:
            (kind, name), (other_kind, other) = list(first.items())[:2]
            raise UserError(
                f"System {system!r} is {kind} in {name} and {other_kind} in {other}, so that its measures cannot be "
                "compared; make the files with the same models and options."
            )


def _with_p_bad(columns: Columns, calibration: Calibration) -> Columns:
    return replace(columns, measures={**columns.measures, COLUMN: calibration.probability(columns.measures)})
