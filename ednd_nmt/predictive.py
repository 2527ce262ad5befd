"""What a system says about the next token: the distribution to search with and the uncertainty of it.

One class per kind of system (single model, ensemble, Dirichlet student, ensemble of students), all with the same questions,
so that the search can record measures without knowing what it decodes with. Pure tensors; rows are prefixes (sentences x
beams).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import is_dataclass
from typing import Any

import torch
from torch import Tensor

from ednd_nmt.dirichlet import (
    DirichletSums,
    DirichletUncertainty,
    dirichlet_log_probability,
    dirichlet_sums,
    dirichlet_token_mkl,
    exponentials_and_precision,
    log_concentrations,
    log_probability_variance,
    uncertainty_of_sums,
)
from ednd_nmt.dirichlet_mixture import DirichletMixtureUncertainty, dirichlet_mixture_uncertainty
from ednd_nmt.ensemble import EnsembleStatistics, ensemble_statistics


class Predictive(ABC):
    """The next-token distribution of every row, K classes; logarithms are natural."""

    @abstractmethod
    def search_log_probabilities(self, temperature: float = 1.0) -> Tensor:
        """Log-probabilities [rows, K] that the search extends hypotheses with; logits are divided by ``temperature``."""

    @abstractmethod
    def token_measures(self) -> dict[str, Tensor]:
        """Uncertainties of every row's next token, each float32 [rows]; a measure that the system lacks is absent."""

    @abstractmethod
    def columns(self, rows: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        """What the search records of hypotheses that go on, from which :meth:`completed` makes their columns.

        Args:
            rows: int64 [n]; may repeat, where several hypotheses continue one prefix.
            tokens: the token chosen after each of them, int64 [n].

        Returns:
            Float32 [n] each; of an ensemble ``member_...`` [n, M], among them ``member_log_probability``, the members' own.
        """

    def completed(self, recorded: dict[str, Tensor]) -> dict[str, Tensor]:
        """The token-level columns of chosen tokens from what was recorded of them, both [...] (or [..., M]).

        They are the measures of :meth:`token_measures`, the chosen token's ``log_probability`` under the distribution that
        these are about, and its scores. Called once, for all hypotheses that a search has found.
        """
        return recorded

    def held_bytes(self) -> int:
        """Memory of all tensors among the attributes: what is not freed as long as this object is there."""
        return sum(tensor.nbytes for tensor in _tensors(vars(self).values()))


class MeasuredOnDemand(Predictive):
    """A distribution that the search needs no measure of: only rows that some hypothesis continues are measured, once."""

    def __init__(self) -> None:
        self._measures: dict[str, Tensor] | None = None

    @abstractmethod
    def _select(self, rows: Tensor) -> MeasuredOnDemand:
        """The distributions of ``rows`` (int64 [n]) alone."""

    @abstractmethod
    def _measure(self) -> dict[str, Tensor]:
        """What :meth:`token_measures` returns."""

    @abstractmethod
    def _chosen(self, rows: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        """Columns of the chosen tokens alone, after :meth:`token_measures`."""

    def token_measures(self) -> dict[str, Tensor]:
        if self._measures is None:
            self._measures = self._measure()
        return self._measures

    def columns(self, rows: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        if self._measures is None:
            needed, place = rows.unique(return_inverse=True)
            part = self._select(needed)
            part.token_measures()
            return part.columns(place, tokens)
        measures = {name: column[rows] for name, column in self._measures.items()}
        return measures | self._chosen(rows, tokens)


class CategoricalPredictive(MeasuredOnDemand):
    """A single model: total uncertainty only, since one distribution carries no knowledge uncertainty.

    Args:
        logits: [rows, K], any floating dtype; the arithmetic is float32.
    """

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self._logits = logits

    def search_log_probabilities(self, temperature: float = 1.0) -> Tensor:
        return torch.log_softmax(_tempered(self._logits, temperature), dim=-1)

    def _select(self, rows: Tensor) -> CategoricalPredictive:
        return CategoricalPredictive(self._logits[rows])

    def _measure(self) -> dict[str, Tensor]:
        return {"TU": torch.special.entr(self._logits.float().softmax(dim=-1)).sum(dim=-1)}

    def _chosen(self, rows: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        return {"log_probability": torch.log_softmax(self._logits.float(), dim=-1)[rows, tokens]}


class EnsemblePredictive(Predictive):
    """An ensemble of M models in one of its two combinations (arXiv 2002.07650).

    Product of expectations (PE): ``P(y) = prod_l mean_m p_m(y_l | y_<l)``, the members weigh alike at every token.
    Expectation of products (EP): ``P(y) = mean_m prod_l p_m(y_l | y_<l)``, hence
    ``P(y_l | y_<l) = sum_m w_m p_m(y_l | y_<l)`` with ``w_m`` proportional to ``P_m(y_<l)``. Every term of every measure is
    weighted by these same weights, so that TU = MI + DU and EPKL = MI + MKL hold and none is negative.

    Args:
        member_logits: one [rows, K] tensor per member. A decoding step holds them anyway: all members have answered before
            a token can be chosen.
        prefix_log_likelihood: ``ln P_m(y_<l)`` [rows, M] for EP; None for PE, and for EP at the first token.
    """

    def __init__(self, member_logits: Sequence[Tensor], prefix_log_likelihood: Tensor | None = None) -> None:
        self._member_logits = member_logits
        self._weights = _posterior(prefix_log_likelihood)
        self._statistics = ensemble_statistics(member_logits, weights=self._weights)

    def search_log_probabilities(self, temperature: float = 1.0) -> Tensor:
        if temperature == 1.0:
            return _log(self._statistics.mean)
        return _log(ensemble_statistics(self._member_logits, temperature, self._weights).mean)

    def token_measures(self) -> dict[str, Tensor]:
        return _measures(self._statistics, "entropy_of_mean", "expected_entropy")

    def columns(self, rows: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        needed, place = rows.unique(return_inverse=True)
        members = torch.stack(
            [
                torch.log_softmax(logits[needed].float(), dim=-1)[place, tokens]
                for logits in self._member_logits
            ],
            dim=-1,
        )
        log_probability = _log(self._statistics.mean[rows, tokens])
        measures = {name: column[rows] for name, column in self.token_measures().items()}
        return measures | {
            "log_probability": log_probability,
            "sMKL": _gap(log_probability, members, self._weights),
            "member_log_probability": members,
        }


class DirichletPredictive(Predictive):
    """A student with concentrations ``alpha = exp(z) + offset``; ``p = alpha / alpha0`` in every measure.

    A beam carries four numbers per token, the sums over the vocabulary (:class:`~ednd_nmt.dirichlet.DirichletSums`) and the
    chosen token's logit, from which all columns follow when a hypothesis is finished. Only rows that some hypothesis
    continues are summed.

    Args:
        logits: z [rows, K], any floating dtype.
        offset: the model's own.
        decoding: ``mode`` searches with softmax(z), the mode of the Dirichlet at offset 1, as published; ``mean`` with p.

    Source: arXiv 2105.06987, section 4 and appendix A.
    """

    def __init__(self, logits: Tensor, offset: float, decoding: str = "mode") -> None:
        self._logits = logits
        self._offset = offset
        self._decoding = decoding
        self._sums: DirichletSums | None = None  # of all rows, if something has asked for their measures

    def search_log_probabilities(self, temperature: float = 1.0) -> Tensor:
        return torch.log_softmax(
            _search_logits(self._logits, temperature, self._offset, self._decoding), dim=-1
        )

    def token_measures(self) -> dict[str, Tensor]:
        if self._sums is None:
            self._sums = dirichlet_sums(self._logits, self._offset)
        return self._named(self._sums)

    def columns(self, rows: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        sums, place = self._sums, rows
        if sums is None:
            needed, place = rows.unique(return_inverse=True)
            sums = dirichlet_sums(self._logits, self._offset, needed)
        recorded = {name: column[place].float() for name, column in vars(sums).items()}
        return recorded | {"logit": self._logits[rows, tokens].float()}

    def completed(self, recorded: dict[str, Tensor]) -> dict[str, Tensor]:
        sums = DirichletSums(recorded["precision"], recorded["complements"], recorded["entropy"])
        log_probability, gap, variance = _scores(recorded["logit"], self._offset, sums.precision)
        return self._named(sums) | {"log_probability": log_probability, "sMKL": gap, "logvar": variance}

    def _named(self, sums: DirichletSums) -> dict[str, Tensor]:
        uncertainty = uncertainty_of_sums(sums, self._logits.shape[-1])
        return _measures(uncertainty) | {"precision": uncertainty.precision.float()}


class DirichletMixturePredictive(MeasuredOnDemand):
    """An ensemble of M students: the mixture of their Dirichlets in one of the two combinations of an ensemble.

    With ``p_m = alpha_m / alpha0_m``, the mean of student m, a student gives a translation the probability
    ``P_m(y) = prod_l p_m(y_l | y_<l)``: its distributions are drawn independently at every token. In PE the student is drawn
    anew at every token (``w_m = 1/M``), in EP once for the whole translation, which makes ``w_m`` its posterior probability
    after the prefix, proportional to ``P_m(y_<l)``, exactly as for plain models (:class:`EnsemblePredictive`). The
    measures are those of the mixture ``sum_m w_m Dir(alpha_m)`` (:mod:`ednd_nmt.dirichlet_mixture`).

    Of the chosen token y, with ``E_m ln pi_y = psi(alpha_my) - psi(alpha0_m)``::

        log_probability = ln pbar_y,   pbar = sum_m w_m p_m
        sMKL            = ln pbar_y - (1/M) sum_m E_m ln pi_y
        logvar          = (1/M) sum_m [psi1(alpha_my) - psi1(alpha0_m)]      the variance within the students
        member_log_probability          = ln p_my
        member_expected_log_probability = E_m ln pi_y

    As for plain models, expectations of the chosen tokens' logarithms weigh the students alike in both combinations, since
    a student was not drawn for having found this translation likely. One student has no other columns than
    :class:`DirichletPredictive` gives it; sure students have those of an ensemble of plain models.

    Args:
        member_logits: z_m, one [rows, K] tensor per student.
        offset: the students' own, all alike.
        decoding: ``mode`` searches with ``sum_m w_m softmax(z_m)``, the mixture of the Dirichlets' modes (at offset 1),
            which is what an ensemble of the students taken as plain models would search with; ``mean`` with pbar, the
            distribution that the measures are about. The weights w are those of the means in either case.
        prefix_log_likelihood: ``ln P_m(y_<l)`` [rows, M] for EP; None for PE, and for EP at the first token.
    """

    def __init__(
        self,
        member_logits: Sequence[Tensor],
        offset: float,
        decoding: str = "mode",
        prefix_log_likelihood: Tensor | None = None,
    ) -> None:
        super().__init__()
        self._member_logits = member_logits
        self._offset = offset
        self._decoding = decoding
        self._prefix_log_likelihood = prefix_log_likelihood
        self._weights = _posterior(prefix_log_likelihood)
        self._mean = torch.empty(0)  # pbar, once measured

    def search_log_probabilities(self, temperature: float = 1.0) -> Tensor:
        members = [
            _search_logits(logits, temperature, self._offset, self._decoding)
            for logits in self._member_logits
        ]
        return _log(ensemble_statistics(members, weights=self._weights).mean)

    def _select(self, rows: Tensor) -> DirichletMixturePredictive:
        prefix = self._prefix_log_likelihood
        return DirichletMixturePredictive(
            [logits[rows] for logits in self._member_logits],
            self._offset,
            self._decoding,
            None if prefix is None else prefix[rows],
        )

    def _measure(self) -> dict[str, Tensor]:
        uncertainty = dirichlet_mixture_uncertainty(self._member_logits, self._offset, self._weights)
        self._mean = uncertainty.mean
        return _measures(uncertainty)

    def _chosen(self, rows: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        log_probability = _log(self._mean[rows, tokens])
        columns = []
        for logits in self._member_logits:
            _, precision = exponentials_and_precision(logits.float(), self._offset)
            columns.append(_scores(logits[rows, tokens], self._offset, precision.squeeze(-1)[rows]))
        members, gaps, variances = (torch.stack(column, dim=-1) for column in zip(*columns, strict=True))
        expected = members - gaps
        return {
            "log_probability": log_probability,
            "sMKL": _gap(log_probability, expected, self._weights),
            "logvar": variances.mean(dim=-1),
            "member_log_probability": members,
            "member_expected_log_probability": expected,
        }


def _measures(
    uncertainty: DirichletUncertainty | DirichletMixtureUncertainty | EnsembleStatistics,
    total: str = "total",
    data: str = "data",
) -> dict[str, Tensor]:
    """The measures that every system with knowledge uncertainty has, in float32; the entropies' attributes are named."""
    attributes = {"TU": total, "DU": data, "MI": "mutual_information", "EPKL": "epkl", "MKL": "mkl"}
    return {name: getattr(uncertainty, attribute).float() for name, attribute in attributes.items()}


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    """The tensors among ``values``, in sequences and in dataclasses among them."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)
        elif is_dataclass(value):
            yield from _tensors(vars(value).values())


def _scores(logit: Tensor, offset: float, precision: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """ln p_y, ln p_y - E ln pi_y (float32) and Var ln pi_y (float64) of a token: its logit z_y and its alpha0."""
    one_class, only = logit.unsqueeze(-1), torch.zeros_like(logit, dtype=torch.long)  # all that is looked at
    log_probability, gap, variance = (
        column(one_class, only, offset, precision=precision)
        for column in (dirichlet_log_probability, dirichlet_token_mkl, log_probability_variance)
    )
    return log_probability.float(), gap.float(), variance


def _gap(log_probability: Tensor, members: Tensor, weights: Tensor | None) -> Tensor:
    """``log_probability`` [n] less the mean of ``members`` [n, M].

    Jensen makes that of PE (no ``weights``) non-negative; rounding alone could make it -1e-8 where members agree. Of EP this
    holds for the sum over the tokens only: a token that the likelier members find unlikely has a negative share in it.
    """
    gap = log_probability - members.mean(dim=-1)
    return gap.clamp_min(0.0) if weights is None else gap


def _search_logits(logits: Tensor, temperature: float, offset: float, decoding: str) -> Tensor:
    """Logits whose softmax a student's search uses: z, or ln(exp(z) + offset), of ``z / temperature``."""
    tempered = _tempered(logits, temperature)
    return tempered if decoding == "mode" else log_concentrations(tempered, offset)


def _tempered(logits: Tensor, temperature: float) -> Tensor:
    return logits.float() if temperature == 1.0 else logits.float() / temperature


def _posterior(prefix_log_likelihood: Tensor | None) -> Tensor | None:
    """Weights [rows, M] of the members after the prefix; None where they weigh alike."""
    return None if prefix_log_likelihood is None else prefix_log_likelihood.softmax(dim=-1)


def _log(mean: Tensor) -> Tensor:
    """Its logarithm in float32; a probability that underflowed to 0 stays finite."""
    return mean.float().clamp_min(torch.finfo(torch.float32).tiny).log()
