"""Fitting a decision on a validation set, and seeing on other sets whether it pays."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ednd_nmt.decisions import Abstention, Decision, Fitted, Reranking, budget_threshold
from ednd_nmt.errors import UserError
from ednd_nmt.evaluation import bootstrap
from ednd_nmt.evaluation.disagreement import NAME as DISAGREEMENT
from ednd_nmt.evaluation.disagreement import with_disagreement
from ednd_nmt.evaluation.ordering import Counts
from ednd_nmt.evaluation.quality import Array, SacreBleuMetric, corpus_metrics
from ednd_nmt.evaluation.resampling import CorpusQuality, Figures
from ednd_nmt.record_reader import read_records
from ednd_nmt.records import Header, Sentence, measure_value

METRICS = ("bleu", "chrf")
STEPS = 41  # penalties tried beside 0


@dataclass(frozen=True)
class Records:
    """An uncertainty file in memory, without its token-level lists."""

    path: Path
    header: Header
    sentences: list[Sentence]

    @property
    def references(self) -> list[str] | None:
        """None where a sentence has none."""
        found = [sentence.reference for sentence in self.sentences if sentence.reference is not None]
        return found if len(found) == len(self.sentences) else None


@dataclass(frozen=True)
class Gain:
    """A figure and what acting adds to it: the difference with its paired bootstrap interval and p-value."""

    score: float
    difference: float
    interval: bootstrap.Interval
    p_value: float
    share: float = 1.0  # of the sentences that the score is of


@dataclass(frozen=True)
class Payoff:
    """What a decision does to one set; the gains are None without references, that of what is kept if nothing is."""

    sentences: int
    abstained: float  # share above the fitted threshold
    searched: float | None = None  # quality in the search's order, percent
    lengths: tuple[float, float] | None = None  # characters over the references', as searched and reranked
    reranked: Gain | None = None  # over the search's order
    kept: Gain | None = None  # of what the fitted threshold keeps, over all sentences
    budget: Gain | None = None  # of what is kept when the given share of this set is abstained on


def corpus_metric(name: str, language: str | None = None) -> SacreBleuMetric:
    """Corpus BLEU or chrF by a name of ``METRICS``, for a target language."""
    return dict(zip(METRICS, corpus_metrics(language), strict=True))[name]


def read_for_decision(path: str | os.PathLike[str], measures: Sequence[str]) -> Records:
    """Read what :func:`fit_decision` and :func:`payoff` need; ``disagreement`` is computed if it is asked for.

    Raises:
        UserError: a faulty or empty file, or one that was reranked or abstained on already.
    """
    header, found = read_records(path)
    if header.decision is not None:
        raise UserError(
            f"{path} was acted on already ({header.decision}); give the file that the search wrote."
        )
    sentences = []
    for sentence in found:
        slim = tuple(replace(h, tokens=(), token_measures={}) for h in sentence.hypotheses)
        sentence = replace(sentence, hypotheses=slim)
        if DISAGREEMENT in measures and DISAGREEMENT not in sentence.measures:
            sentence = with_disagreement(sentence, header)
        sentences.append(sentence)
    if not sentences:
        raise UserError(f"{path} holds no sentences; was the translation interrupted?")
    return Records(Path(path), header, sentences)


def fit_decision(
    valid: Records,
    measure: str,
    metric: SacreBleuMetric,
    abstain_measure: str | None = None,
    share: float | None = None,
) -> Decision:
    """The penalty with the best corpus quality, and the threshold that abstains on a share of the set.

    The penalties tried are 0 and a geometric grid around the one at which score and measure weigh alike (see
    :func:`penalties`); of equally good ones the smallest is taken, so that without a gain it is 0.

    Args:
        valid: the validation set, with references and several hypotheses per sentence.
        measure: of hypotheses, for reranking.
        metric: see :func:`corpus_metric`.
        abstain_measure: of sentences, for abstention; ``measure`` if None.
        share: see :func:`~ednd_nmt.decisions.budget_threshold`; None for a decision without abstention.

    Raises:
        UserError: no references, one hypothesis per sentence, an unknown measure, or a share out of range.
    """
    if valid.references is None:
        raise UserError(
            f"{valid.path} lacks references, so nothing says which translations are better; "
            "give a validation set that has them."
        )
    if valid.header.nbest == 1:
        raise UserError(
            f"{valid.path} has one hypothesis per sentence, so there is nothing to rerank; "
            "translate it with --nbest 5, say."
        )
    scores, values = hypothesis_arrays(valid.sentences, measure)
    tried = penalties(scores, values)
    statistics = _hypothesis_statistics(valid.sentences, metric)
    figures = []
    for penalty in tried:
        chosen = zip(statistics, best_hypotheses(scores, values, penalty), strict=True)
        figures.append(metric.score(np.sum([rows[place] for rows, place in chosen], axis=0).tolist()))
    best = int(np.argmax(figures))
    rerank = Reranking(measure, float(tried[best]))
    abstain = None
    if share is not None:
        by = abstain_measure or measure
        reranked = (rerank.apply(sentence, valid.header) for sentence in valid.sentences)
        uncertainty = [measure_value(sentence.measures, by) for sentence in reranked]
        abstain = Abstention(by, budget_threshold(uncertainty, share))
    header = valid.header
    fitted = Fitted(
        valid.path.name, header.predictive, header.conditions, len(valid.sentences),
        f"{metric.name}|{metric.signature}", figures[0], figures[best],
    )  # fmt: skip
    return Decision(rerank, abstain, fitted)


def hypothesis_arrays(sentences: Sequence[Sentence], measure: str) -> tuple[Array, Array]:
    """Scores and measures ``[n, S]`` of all hypotheses; where a list is shorter, the score is ``-inf``, the measure 0.

    Raises:
        UserError: the hypotheses do not have the measure.
    """
    longest = max(len(sentence.hypotheses) for sentence in sentences)
    scores = np.full((len(sentences), longest), -np.inf)
    values = np.zeros_like(scores)
    for row, sentence in enumerate(sentences):
        for place, hypothesis in enumerate(sentence.hypotheses):
            scores[row, place] = hypothesis.score
            values[row, place] = measure_value(hypothesis.measures, measure)
    return scores, values


def penalties(scores: Array, values: Array) -> Array:
    """0, then 41 penalties from 0.01 to 100 times the ratio of the spreads of score and measure within the lists.

    The spread is the root mean square distance from the list's mean. A measure that never differs within a list has no
    penalty but 0.
    """
    spreads = []
    for array in (scores, values):
        present = np.where(np.isfinite(scores), array, np.nan)
        spreads.append(np.sqrt(np.nanmean((present - np.nanmean(present, axis=1, keepdims=True)) ** 2)))
    if not all(spread > 0 for spread in spreads):
        return np.zeros(1)
    return np.concatenate([[0.0], spreads[0] / spreads[1] * np.geomspace(0.01, 100.0, STEPS)])


def best_hypotheses(scores: Array, values: Array, penalty: float) -> npt.NDArray[np.intp]:
    """The hypothesis ``[n]`` that :class:`~ednd_nmt.decisions.Reranking` would put first."""
    return (
        np.argmax(scores - penalty * values, axis=1) if penalty > 0 else np.zeros(len(scores), dtype=np.intp)
    )


def payoff(
    decision: Decision,
    records: Records,
    metric: SacreBleuMetric,
    share: float | None = None,
    resamples: int = bootstrap.RESAMPLES,
    seed: int = bootstrap.SEED,
) -> Payoff:
    """What the decision does to a set.

    The intervals are of the paired differences over resampled sentences; which hypothesis comes first and which sentences
    are abstained on stays as decided.

    Args:
        decision: made on another set.
        records: the set.
        metric: see :func:`corpus_metric`.
        share: of this very set, to abstain on beside the fitted threshold.

    Raises:
        UserError: the decision does not fit the records.
    """
    decision.header(records.header)  # checks that it fits
    acted = [decision.apply(sentence, records.header) for sentence in records.sentences]
    kept = np.array([not sentence.abstained for sentence in acted])
    abstained = float(1 - kept.mean())
    references = records.references
    if references is None:
        return Payoff(len(acted), abstained)

    def statistics(sentences: Sequence[Sentence]) -> Array:
        return metric.statistics([sentence.text for sentence in sentences], references)

    everything = np.ones(len(acted), dtype=bool)

    def figure(values: Array, of: npt.NDArray[np.bool_] = everything) -> _Figure:
        return _Figure.of(_QualityOfKept(CorpusQuality(metric, values), of), len(acted), resamples, seed)

    ours = statistics(acted)
    searched, reranked = figure(statistics(records.sentences)), figure(ours)
    of_kept = of_budget = None
    if decision.abstain is not None:
        of_kept = figure(ours, kept).over(reranked, float(kept.mean()))
        if share is not None:
            by = decision.abstain.measure
            values = np.array([measure_value(sentence.measures, by) for sentence in acted])
            within = values <= budget_threshold(values.tolist(), share)
            of_budget = figure(ours, within).over(reranked, float(within.mean()))
    lengths = (_length(records.sentences), _length(acted))
    return Payoff(len(acted), abstained, searched.score, lengths, reranked.over(searched), of_kept, of_budget)


@dataclass(frozen=True)
class _QualityOfKept:
    """A corpus score of some of the sentences; NaN where a resample has none of them, whose score would count as 0."""

    quality: CorpusQuality
    kept: npt.NDArray[np.bool_]

    def __call__(self, counts: Counts) -> Figures:
        drawn = counts * self.kept
        none = ~drawn.any(axis=-1)
        return {name: np.where(none, np.nan, scores) for name, scores in self.quality(drawn).items()}


@dataclass(frozen=True)
class _Figure:
    """A corpus score and its resamples; all figures of one set see the same draws."""

    score: float
    draws: Array

    @classmethod
    def of(cls, statistic: _QualityOfKept, size: int, resamples: int, seed: int) -> _Figure:
        (score,) = bootstrap.point(statistic, [size]).values()
        (draws,) = bootstrap.bootstrap(statistic, [size], resamples, seed).values()
        return cls(score, draws)

    def over(self, other: _Figure, share: float = 1.0) -> Gain | None:
        difference = self.score - other.score
        interval = bootstrap.interval(self.draws - other.draws)
        if interval is None:  # nothing is kept
            return None
        p_value = bootstrap.paired_p_value(self.draws, other.draws, difference)
        return Gain(self.score, difference, interval, p_value, share)


def _length(sentences: Sequence[Sentence]) -> float:
    """Characters of the translations over those of the references: a gain may be one of length alone."""
    ours = sum(len(sentence.text) for sentence in sentences)
    return ours / max(sum(len(sentence.reference or "") for sentence in sentences), 1)


def _hypothesis_statistics(sentences: Sequence[Sentence], metric: SacreBleuMetric) -> list[Array]:
    """Sufficient statistics ``[S, k]`` of every sentence's hypotheses."""
    lengths = [len(sentence.hypotheses) for sentence in sentences]
    texts = [hypothesis.text for sentence in sentences for hypothesis in sentence.hypotheses]
    references = [str(sentence.reference) for sentence in sentences for _ in sentence.hypotheses]
    return np.split(metric.statistics(texts, references), np.cumsum(lengths)[:-1])
