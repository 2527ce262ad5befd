"""Sequence-level uncertainty: one small registered class per measure, from token-level columns to one number.

A search records token-level columns for every hypothesis (one value per token, EOS included once); a sequence measure turns
them into one number of which larger means more uncertain. Add your own with :func:`register_measure`; it is then computed
wherever its columns exist.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np

Columns = Mapping[str, np.ndarray]


class SequenceMeasure(ABC):
    """An uncertainty of a whole hypothesis of L tokens, in nats unless said otherwise.

    Attributes:
        name: the key under which the value is written.
        columns: the token-level columns it needs, each of shape [L] (``member_log_probability``: [L, M]); without them the
            measure is absent, never zero.
        least: its value where the system is certain, that of an empty line.
    """

    name: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]
    least: ClassVar[float] = 0.0

    def is_defined(self, columns: Columns) -> bool:
        """Whether the columns that the measure needs are there."""
        return columns.keys() >= set(self.columns)

    @abstractmethod
    def of_hypothesis(self, columns: Columns) -> float:
        """The measure of one hypothesis from its token-level columns."""


MEASURES: dict[str, SequenceMeasure] = {}


def register_measure(name: str) -> Callable[[type[SequenceMeasure]], type[SequenceMeasure]]:
    """Class decorator that makes a :class:`SequenceMeasure` known under ``name``.

    Raises:
        ValueError: another measure already has that name.
    """

    def register(measure: type[SequenceMeasure]) -> type[SequenceMeasure]:
        if name in MEASURES and type(MEASURES[name]).__qualname__ != measure.__qualname__:
            raise ValueError(f"The measure {name!r} is registered already; choose another name.")
        measure.name = name
        MEASURES[name] = measure()
        return measure

    return register


def hypothesis_measures(columns: Columns) -> dict[str, float]:
    """Every registered measure whose columns are present, by name."""
    return {
        name: measure.of_hypothesis(columns)
        for name, measure in MEASURES.items()
        if measure.is_defined(columns)
    }


class MeanOfTokens(SequenceMeasure):
    """``(1/L) sum_l u_l``: the length average of one token-level column (arXiv 2002.07650, section 4)."""

    def of_hypothesis(self, columns: Columns) -> float:
        return _mean(columns[self.columns[0]])


@register_measure("TU")
class TotalUncertainty(MeanOfTokens):
    """Length average of the entropy of the predictive distribution."""

    columns = ("TU",)


@register_measure("DU")
class DataUncertainty(MeanOfTokens):
    """Length average of the expected entropy."""

    columns = ("DU",)


@register_measure("MI")
class MutualInformation(MeanOfTokens):
    """Length average of the mutual information of token and model, ``TU - DU``."""

    columns = ("MI",)


@register_measure("EPKL")
class ExpectedPairwiseKL(MeanOfTokens):
    """Length average of the expected pairwise KL divergence of two models, ``MI + MKL``."""

    columns = ("EPKL",)


@register_measure("MKL")
class ReverseMutualInformation(MeanOfTokens):
    """Length average of the mean KL divergence from the predictive distribution to a model."""

    columns = ("MKL",)


@register_measure("sTU")
class SequenceTotalUncertainty(SequenceMeasure):
    """``-(1/L) ln P(y)``: the score of the chosen tokens under the predictive distribution."""

    columns = ("log_probability",)

    def of_hypothesis(self, columns: Columns) -> float:
        return -_mean(columns["log_probability"])


@register_measure("sMKL")
class SequenceReverseMutualInformation(MeanOfTokens):
    """``sDU - sTU``: mean over tokens of ``ln p_y - E[ln pi_y]`` for the chosen token y."""

    columns = ("sMKL",)


@register_measure("sDU")
class SequenceDataUncertainty(SequenceMeasure):
    """``-(1/L) E[ln P_model(y)]``: the score of the chosen tokens that one model gives on average."""

    columns = ("log_probability", "sMKL")

    def of_hypothesis(self, columns: Columns) -> float:
        return _mean(columns["sMKL"]) - _mean(columns["log_probability"])


@register_measure("logvar")
class LogProbabilityVariance(SequenceMeasure):
    """``Var[ln P_model(y) / L]``: variance of the length-normalised log-probability over the models, in nats squared.

    A Dirichlet student's tokens are independent given the prefix, so the variances ``v_l = psi1(alpha_y) - psi1(alpha0)``
    add up: ``(1/L^2) sum_l v_l``. Of an ensemble it is the members' own variance, as in the code of arXiv 2002.07650. Of
    several students it is both, by the law of total variance for a student m that is drawn once for the translation::

        (1/L^2) (mean_m sum_l v_ml + Var_m[sum_l E_m ln pi_l])
    """

    columns = ("logvar", "member_log_probability")  # one of the two, or both

    def is_defined(self, columns: Columns) -> bool:
        return any(column in columns for column in self.columns)

    def of_hypothesis(self, columns: Columns) -> float:
        variance = 0.0
        if "logvar" in columns:
            variance += float(np.sum(columns["logvar"]))
        if "member_log_probability" in columns:
            variance += float(np.var(_expected_log_probability(columns).sum(axis=0)))
        return variance / len(next(iter(columns.values()))) ** 2


class MemberScores(SequenceMeasure):
    """A measure of the members' ``S_m = ln P_m(y) = sum_l ln p_m(y_l | y_<l)`` and the length L.

    ``p_m`` of a Dirichlet student is its mean.
    """

    columns = ("member_log_probability",)

    def of_hypothesis(self, columns: Columns) -> float:
        tokens = columns["member_log_probability"]
        return self.of_members(tokens.sum(axis=0), len(tokens), columns)

    @abstractmethod
    def of_members(self, scores: np.ndarray, length: int, columns: Columns) -> float:
        """The measure from S [M], L and all columns."""


@register_measure("EP-sTU")
class ExpectationOfProductsTotalUncertainty(MemberScores):
    """``-(1/L) ln mean_m P_m(y)``: sTU under the expectation of products, whichever combination searched."""

    def of_members(self, scores: np.ndarray, length: int, columns: Columns) -> float:
        return float(-_log_mean_exp(scores)) / length


@register_measure("EP-sMKL")
class ExpectationOfProductsReverseMutualInformation(MemberScores):
    """``sDU - sTU`` under the expectation of products: ``(1/L) (ln mean_m P_m(y) - mean_m E_m ln P(y))``.

    ``E_m ln P(y)`` is ``ln P_m(y)`` of a plain model, and ``sum_l E ln pi_l`` over the Dirichlets of a student.
    """

    def of_members(self, scores: np.ndarray, length: int, columns: Columns) -> float:
        return _gap(float(_log_mean_exp(scores)), columns) / length


@register_measure("PE-sTU")
class ProductOfExpectationsTotalUncertainty(MemberScores):
    """``-(1/L) sum_l ln mean_m p_m(y_l)``: sTU under the product of expectations, whichever combination searched."""

    def of_members(self, scores: np.ndarray, length: int, columns: Columns) -> float:
        return -float(_log_mean_exp(columns["member_log_probability"].T).sum()) / length


@register_measure("PE-sMKL")
class ProductOfExpectationsReverseMutualInformation(MemberScores):
    """``sDU - sTU`` under the product of expectations, with the same sDU as ``EP-sMKL``."""

    def of_members(self, scores: np.ndarray, length: int, columns: Columns) -> float:
        return _gap(float(_log_mean_exp(columns["member_log_probability"].T).sum()), columns) / length


@register_measure("var")
class ProbabilityVariance(MemberScores):
    """``Var_m[exp(S_m / L)]``: variance of the members' length-normalised probabilities (code of arXiv 2002.07650)."""

    def of_members(self, scores: np.ndarray, length: int, columns: Columns) -> float:
        return float(np.var(np.exp(scores / length)))


@register_measure("varcombo")
class ProbabilityVarianceCombination(MemberScores):
    """``var / exp(-sTU_EP) - 1`` (code of arXiv 2002.07650, without its epsilon)."""

    least = -1.0

    def of_members(self, scores: np.ndarray, length: int, columns: Columns) -> float:
        mean = _log_mean_exp(scores)
        relative = np.exp(
            (scores - mean) / length
        )  # over the denominator: P(y) itself may leave the range of numbers
        return float(np.var(relative) * np.exp(mean / length)) - 1.0


@register_measure("logcombo")
class LogProbabilityVarianceCombination(MemberScores):
    """``Var_m[S_m / L] / |mean_m(S_m / L)| - 1``; -1 where every member is certain.

    The code of arXiv 2002.07650 divides by the mean itself (less an epsilon). The mean is negative, so that there more
    variance makes the measure smaller, unlike every other one; here its size is the denominator and larger is less
    certain. The published value is ``-2 - logcombo``, which orders sentences the other way round.
    """

    least = -1.0

    def of_members(self, scores: np.ndarray, length: int, columns: Columns) -> float:
        mean = float(scores.mean()) / length
        return (float(np.var(scores / length)) / -mean if mean < 0 else 0.0) - 1.0


def _mean(column: np.ndarray) -> float:
    return float(column.sum()) / len(column)  # a fifth of the time of np.mean, for every hypothesis


def _expected_log_probability(columns: Columns) -> np.ndarray:
    """``E_m ln pi`` of the chosen tokens, [L, M]; a plain model is sure of its distribution."""
    return columns.get("member_expected_log_probability", columns["member_log_probability"])


def _gap(log_probability: float, columns: Columns) -> float:
    """``log_probability`` of the hypothesis less what the members expect it to be on average; at least 0 by Jensen."""
    return max(0.0, log_probability - float(_expected_log_probability(columns).sum(axis=0).mean()))


def _log_mean_exp(values: np.ndarray) -> np.ndarray:
    """``ln mean_m exp(v_m)`` over the first axis."""
    largest = values.max(axis=0)
    return largest + np.log(np.mean(np.exp(values - largest), axis=0))
