"""What a system says about the next token: the distribution to search with and the uncertainty of it.

One class per kind of system (single model, ensemble, Dirichlet student), all with the same three questions, so that the
search can record measures without knowing what it decodes with. Pure tensors; rows are prefixes (sentences x beams).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from ednd_nmt.dirichlet import (
    dirichlet_log_probability,
    dirichlet_token_mkl,
    dirichlet_uncertainty,
    log_probability_variance,
)
from ednd_nmt.ensemble import ensemble_statistics

DECODINGS = ("mode", "mean")
COMBINATIONS = ("pe", "ep")


class Predictive(ABC):
    """The next-token distribution of every row, K classes; logarithms are natural."""

    @abstractmethod
    def search_log_probabilities(self, temperature: float = 1.0) -> Tensor:
        """Log-probabilities [rows, K] that the search extends hypotheses with; logits are divided by ``temperature``."""

    @abstractmethod
    def token_measures(self) -> dict[str, Tensor]:
        """Uncertainties of every row's next token, each float32 [rows]; a measure that the system lacks is absent."""

    @abstractmethod
    def chosen_token(self, rows: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        """Columns of the token that was chosen after each row, each float32 [n]; ``rows`` and ``tokens`` are int64 [n].

        ``log_probability`` is always there and belongs to the predictive distribution that the measures are about.
        ``member_log_probability`` of an ensemble is [n, M].
        """


class CategoricalPredictive(Predictive):
    """A single model: total uncertainty only, since one distribution carries no knowledge uncertainty.

    Args:
        logits: [rows, K], any floating dtype; the arithmetic is float32.
    """

    def __init__(self, logits: Tensor) -> None:
        self._logits = logits
        self._log_probabilities = torch.log_softmax(logits.float(), dim=-1)

    def search_log_probabilities(self, temperature: float = 1.0) -> Tensor:
        if temperature == 1.0:
            return self._log_probabilities.clone()  # the search writes into what it gets
        return torch.log_softmax(self._logits.float() / temperature, dim=-1)

    def token_measures(self) -> dict[str, Tensor]:
        return {"TU": torch.special.entr(self._log_probabilities.exp()).sum(dim=-1)}

    def chosen_token(self, rows: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        return {"log_probability": self._log_probabilities[rows, tokens]}


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
        self._weights = None if prefix_log_likelihood is None else prefix_log_likelihood.softmax(dim=-1)
        self._statistics = ensemble_statistics(member_logits, weights=self._weights)

    def search_log_probabilities(self, temperature: float = 1.0) -> Tensor:
        mean = (
            self._statistics.mean
            if temperature == 1.0
            else ensemble_statistics(self._member_logits, temperature, self._weights).mean
        )
        return mean.float().clamp_min(torch.finfo(torch.float32).tiny).log()

    def token_measures(self) -> dict[str, Tensor]:
        statistics = self._statistics
        return {
            "TU": statistics.entropy_of_mean.float(),
            "DU": statistics.expected_entropy.float(),
            "MI": statistics.mutual_information.float(),
            "EPKL": statistics.epkl.float(),
            "MKL": statistics.mkl.float(),
        }

    def chosen_token(self, rows: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        log_probability = (
            self._statistics.mean[rows, tokens].float().clamp_min(torch.finfo(torch.float32).tiny).log()
        )
        members = torch.stack(
            [torch.log_softmax(logits[rows].float(), dim=-1) for logits in self._member_logits], dim=-1
        )
        members = members[torch.arange(len(tokens), device=tokens.device), tokens]
        gap = log_probability - members.mean(dim=-1)
        # Jensen makes a PE gap non-negative; rounding alone could make it -1e-8 where members agree. Of EP this holds for
        # the sum over the tokens only: a token that the likelier members find unlikely has a negative share in it.
        return {
            "log_probability": log_probability,
            "sMKL": gap.clamp_min(0.0) if self._weights is None else gap,
            "member_log_probability": members,
        }


class DirichletPredictive(Predictive):
    """A student with concentrations ``alpha = exp(z) + offset``; ``p = alpha / alpha0`` in every measure.

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
        self._uncertainty = dirichlet_uncertainty(logits, offset)

    def search_log_probabilities(self, temperature: float = 1.0) -> Tensor:
        logits = self._logits.float() / temperature
        if self._decoding == "mode":
            return torch.log_softmax(logits, dim=-1)
        # ln(exp(z) + offset) without overflow, then normalised: ln alpha - ln alpha0
        offset = torch.tensor(self._offset, dtype=torch.float32, device=logits.device)
        return torch.log_softmax(torch.logaddexp(logits, offset.log()), dim=-1)

    def token_measures(self) -> dict[str, Tensor]:
        uncertainty = self._uncertainty
        return {
            "TU": uncertainty.total.float(),
            "DU": uncertainty.data.float(),
            "MI": uncertainty.mutual_information.float(),
            "EPKL": uncertainty.epkl.float(),
            "MKL": uncertainty.mkl.float(),
            "precision": uncertainty.precision.float(),
        }

    def chosen_token(self, rows: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        # One column of logits per token is all that these look at, since the precision is known.
        logits = self._logits[rows, tokens].unsqueeze(-1)
        only = torch.zeros_like(tokens)
        precision = self._uncertainty.precision[rows]
        return {
            "log_probability": dirichlet_log_probability(logits, only, self._offset, precision=precision),
            "sMKL": dirichlet_token_mkl(logits, only, self._offset, precision=precision),
            "logvar": log_probability_variance(logits, only, self._offset, precision=precision),
        }
