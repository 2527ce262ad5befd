"""Acting on uncertainty: choose another hypothesis of the n-best list, and abstain where the sentence is too uncertain.

Works on the records of :mod:`ednd_nmt.records`, from a file or fresh from the translator, one sentence at a time. What
``ednd-nmt fit`` chose on a validation set is saved as JSON.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ednd_nmt.errors import UserError
from ednd_nmt.evaluation.aggregation import sentence_measures
from ednd_nmt.evaluation.arrays import finite_vector
from ednd_nmt.evaluation.calibration import Calibration
from ednd_nmt.evaluation.disagreement import NAME as DISAGREEMENT
from ednd_nmt.evaluation.disagreement import with_disagreement
from ednd_nmt.files import from_json, read_json
from ednd_nmt.records import Header, Sentence, measure_value

FORMAT = "ednd-nmt.decision"
VERSION = 2


@dataclass(frozen=True)
class Reranking:
    """The n-best list in the order of ``score - penalty * measure``, largest first.

    The score is the search's own, a length-normalised log-probability in nats; equal hypotheses keep their order. A penalty
    of 0 keeps that of all, even of a list that somebody else put into another order than that of the score.
    """

    measure: str  # a measure of hypotheses
    penalty: float  # lambda >= 0; 0 is the search's order

    def __post_init__(self) -> None:
        if not (math.isfinite(self.penalty) and self.penalty >= 0):
            raise UserError(f"The penalty of reranking must be a number from 0, not {self.penalty}.")

    def apply(self, sentence: Sentence, header: Header) -> Sentence:
        """The sentence with its hypotheses in the new order.

        The sentence's measures change only where they are those of the best hypothesis alone (weighting ``best``).

        Raises:
            UserError: the hypotheses do not have the measure.
        """
        values = [measure_value(hypothesis.measures, self.measure) for hypothesis in sentence.hypotheses]
        if self.penalty == 0:
            return sentence
        ranked = sorted(
            zip(sentence.hypotheses, values, strict=True),
            key=lambda pair: pair[0].score - self.penalty * pair[1],
            reverse=True,  # stable all the same: Python keeps the order of equal ones
        )
        hypotheses = tuple(hypothesis for hypothesis, _ in ranked)
        measures = sentence.measures
        if header.weighting == "best":
            measures = {**measures, **sentence_measures(hypotheses, header.weighting)}
        return replace(sentence, hypotheses=hypotheses, measures=measures)


@dataclass(frozen=True)
class Abstention:
    """Sentences whose measure is above the threshold are marked as abstained."""

    measure: str  # a measure of sentences
    threshold: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.threshold):
            raise UserError(f"The threshold of abstention must be a finite number, not {self.threshold}.")

    def apply(self, sentence: Sentence) -> Sentence:
        """The sentence with its mark, true or false.

        Raises:
            UserError: the sentence does not have the measure.
        """
        return replace(sentence, abstained=measure_value(sentence.measures, self.measure) > self.threshold)


def budget_threshold(uncertainty: Sequence[float], share: float) -> float:
    """The threshold above which lie at most ``share`` of the sentences: ``floor(share * n)`` of them if there are no ties.

    It is the next smaller value after those, so that equally uncertain sentences are treated alike: a group of them that
    the budget does not cover whole is kept.

    Args:
        uncertainty: ``[n]``, larger = less sure.
        share: from 0 to below 1.

    Raises:
        UserError: a share out of range, no sentence, NaN or infinity.
    """
    if not 0 <= share < 1:
        raise UserError(f"The share to abstain on must be from 0 to below 1, as in 0.1, not {share}.")
    values = np.sort(finite_vector(uncertainty, "The uncertainty"))[::-1]
    # 0.29 * 100 is 28.999999999999996, and means 29.
    return float(values[math.floor(share * values.size + 1e-9)])


@dataclass(frozen=True)
class Fitted:
    """On what a decision was fitted, and what it gained there."""

    file: str
    predictive: str  # of the file's header: what the measures are of
    conditions: str  # of the file's header: the search, and how the n-best list is weighed
    sentences: int
    metric: str  # signature of the corpus metric that chose the penalty
    searched: float  # its value on the validation set in the search's order, percent
    reranked: float  # and in the new order; never smaller

    def check(self, header: Header) -> None:
        """A penalty or a threshold holds only for measures of the same kind.

        Raises:
            UserError: ``header`` is of another kind of system, another search or another weighting.
        """
        for what, ours, theirs in (
            ("system", self.predictive, header.predictive),
            ("search", self.conditions, header.conditions),
        ):
            if ours != theirs:
                raise UserError(
                    f"The decision was fitted on {self.file} with the {what} {ours}, but here the {what} is {theirs}; "
                    "make them the same, or fit another decision."
                )


@dataclass(frozen=True)
class Decision:
    """What is done with every sentence: reranking first, then abstention; either may be left out."""

    rerank: Reranking | None = None
    abstain: Abstention | None = None
    fitted: Fitted | None = None  # None if the numbers are the user's own

    @property
    def measures(self) -> set[str]:
        """The measures that are needed."""
        return {action.measure for action in (self.rerank, self.abstain) if action is not None}

    def header(self, header: Header) -> Header:
        """The header of the records that :meth:`apply` makes.

        Raises:
            UserError: the decision does not fit the records, or there is nothing to rerank.
        """
        if self.fitted is not None:
            self.fitted.check(header)
        done = [header.decision] if header.decision else []
        if self.rerank is not None and self.rerank.penalty > 0:
            if header.nbest == 1:
                raise UserError(
                    "Reranking chooses among several hypotheses, but there is one per sentence; "
                    "translate with --nbest 5, say."
                )
            done.append(f"rerank[{self.rerank.measure}*{self.rerank.penalty:g}]")
        if self.abstain is not None:
            done.append(f"abstain[{self.abstain.measure}>{self.abstain.threshold:g}]")
        return replace(header, decision=",".join(done) or None)

    def apply(self, sentence: Sentence, header: Header, calibration: Calibration | None = None) -> Sentence:
        """The sentence as decided; the measure ``disagreement`` is computed if it is needed and not there.

        Args:
            sentence: one record.
            header: of the file that it stands in, or of the translator.
            calibration: adds ``p_bad`` between reranking and abstention, which may then go by it.

        Raises:
            UserError: a measure is missing.
        """
        if DISAGREEMENT in self.measures and DISAGREEMENT not in sentence.measures:
            sentence = with_disagreement(sentence, header)
        if self.rerank is not None:
            sentence = self.rerank.apply(sentence, header)
        if calibration is not None:
            sentence = calibration.apply(sentence)
        return self.abstain.apply(sentence) if self.abstain is not None else sentence

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, "version": VERSION, **asdict(self)}, indent=1, allow_nan=False)


def read_decision(path: str | os.PathLike[str]) -> Decision:
    """Read what :meth:`Decision.to_json` wrote.

    Raises:
        UserError: the file cannot be read or is not a decision.
    """
    record = read_json(path)
    if not isinstance(record, dict) or (record.pop("format", None), record.pop("version", None)) != (
        FORMAT,
        VERSION,
    ):
        raise UserError(f"{path} is not a decision of version {VERSION}; make one with ednd-nmt fit.")
    kinds: Mapping[str, type[Any]] = {"rerank": Reranking, "abstain": Abstention, "fitted": Fitted}
    if record.keys() != kinds.keys():
        raise UserError(f"{path} has a missing or unknown field; it must have {', '.join(kinds)}.")
    parts = {
        name: None if record[name] is None else from_json(kind, record[name], f"{path}: {name!r}")
        for name, kind in kinds.items()
    }
    return Decision(**parts)
