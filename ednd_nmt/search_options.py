"""The options of a search, and what the header of an uncertainty file says of them."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ednd_nmt.errors import UserError

CONSTRAINTS = ("ordered", "unordered")
DECODINGS = ("mode", "mean")  # of a student's Dirichlet
COMBINATIONS = ("pe", "ep")  # of several models: product of expectations, expectation of products


@dataclass(frozen=True)
class SearchOptions:
    """Options of the search, under fairseq's names, and of its batches.

    Raises:
        UserError: they contradict each other, or are out of range.
    """

    beam: int = 5
    nbest: int = 1
    max_len_a: float = 1.5  # a translation has at most a * source + b pieces
    max_len_b: int = 10
    min_len: int = 1  # pieces of a translation, EOS not counted
    no_repeat_ngram_size: int = 0  # no n-gram of this size twice in a translation; 0: any
    lenpen: float = 1.0
    sampling: bool = False  # draw `beam` translations, which are all returned
    sampling_topk: int = -1  # from the so many most probable tokens only
    sampling_topp: float = -1.0  # from the most probable tokens that have so much probability together
    seed: int = 1  # of sampling
    diverse_beam_groups: int = -1  # of the beam, each kept away from what the others choose
    diverse_beam_strength: float = 0.5
    constraints: str | None = None  # one of CONSTRAINTS, if phrases follow each sentence after tabs
    uncertainty_penalty: float = 0.0  # in the beam: on log-probabilities, per unit of penalty_measure
    penalty_measure: str = "MI"
    max_tokens: int = 4000  # source pieces of a batch
    batch_size: int | None = None  # sentences of a batch at most
    weighting: str = "posterior"  # of the n-best list in a sentence's measures
    temperature: float = 1.0  # of the posterior weighting

    def __post_init__(self) -> None:
        if self.beam < 1 or not 1 <= self.nbest <= self.beam:
            raise UserError(
                f"beam {self.beam} and nbest {self.nbest} do not go together; choose 1 <= nbest <= beam."
            )
        if not (
            0 <= self.max_len_a < math.inf
            and self.max_len_b >= 0
            and 2 * self.max_len_a + self.max_len_b >= 1
        ):
            raise UserError(
                f"max_len_a {self.max_len_a} and max_len_b {self.max_len_b} leave no room for a translation; "
                "choose numbers from 0, as in 1.5 and 10."
            )
        if self.min_len < 1 or self.no_repeat_ngram_size < 0:
            raise UserError(
                f"min_len is {self.min_len} and no_repeat_ngram_size {self.no_repeat_ngram_size}; give at least 1 and 0."
            )
        if not math.isfinite(self.lenpen):
            raise UserError(f"The length penalty must be a finite number, not {self.lenpen}.")
        self._check_strategy()
        if not self.temperature > 0:
            raise UserError(f"The temperature of the n-best weights must be above 0, not {self.temperature}.")
        if self.max_tokens < 1 or (self.batch_size is not None and self.batch_size < 1):
            raise UserError("A batch needs room for something: max_tokens and batch_size must be at least 1.")

    def _check_strategy(self) -> None:
        chosen = [
            name
            for name, given in (
                ("sampling", self.sampling),
                ("diverse_beam_groups", self.diverse_beam_groups > 0),
                ("constraints", self.constraints is not None),
            )
            if given
        ]
        if len(chosen) > 1:
            raise UserError(f"{' and '.join(chosen)} do not go together; choose one of them.")
        if self.constraints is not None and self.no_repeat_ngram_size > 0:
            raise UserError(
                "constraints and no_repeat_ngram_size do not go together, since a phrase may be what is forbidden; "
                "choose one of them."
            )
        if self.sampling and self.nbest != self.beam:
            raise UserError(
                "Sampling draws as many translations as the beam has and returns them all; "
                f"make beam ({self.beam}) and nbest ({self.nbest}) the same."
            )
        by_number, by_probability = self.sampling_topk != -1, self.sampling_topp != -1
        if (by_number or by_probability) and not self.sampling:
            raise UserError("sampling_topk and sampling_topp say how to sample; add sampling.")
        if (
            (by_number and by_probability)
            or (by_number and self.sampling_topk < 1)
            or (by_probability and not 0 < self.sampling_topp <= 1)
        ):
            raise UserError(
                "Draw from the most probable tokens either by their number (sampling_topk from 1) or by their probability "
                f"(sampling_topp up to 1), not {self.sampling_topk} and {self.sampling_topp}."
            )
        if not 0 <= self.seed < 1 << 31:
            raise UserError(f"The seed must be a whole number from 0 to {(1 << 31) - 1:,}, not {self.seed}.")
        if not math.isfinite(self.diverse_beam_strength):
            raise UserError(
                f"diverse_beam_strength must be a finite number, not {self.diverse_beam_strength}."
            )
        if self.diverse_beam_groups > 0 and self.beam % self.diverse_beam_groups:
            raise UserError(
                f"{self.diverse_beam_groups} groups do not share a beam of {self.beam}; choose a beam that is a multiple."
            )
        if self.constraints is not None and self.constraints not in CONSTRAINTS:
            raise UserError(f"constraints are {' or '.join(CONSTRAINTS)}, not {self.constraints!r}.")

    def for_fairseq(self) -> Namespace:
        """What fairseq's builders of searches look at; its ``temperature`` is another one."""
        others = ("seed", "weighting", "temperature")
        return Namespace(**{name: value for name, value in vars(self).items() if name not in others})

    def seed_of(self, line: int) -> int:
        """The seed of what is drawn for a buffer of lines that begins with this one, whatever was drawn before."""
        return (self.seed << 32) + line


DEFAULTS = SearchOptions()

_OPTIONS = (
    "max_len_a", "max_len_b", "match_source_len", "min_len", "lenpen", "unnormalized", "unkpen", "no_repeat_ngram_size",
    "prefix_size", "temperature", "sampling", "sampling_topk", "sampling_topp", "diverse_beam_groups",
    "diverse_beam_strength", "diversity_rate", "constraints", "retain_dropout", "retain_dropout_modules", "lm_path",
    "lm_weight",
)  # fmt: skip
"""fairseq's options of generation on which the hypotheses depend; beam and nbest have fields of their own.

The language model goes by its whole path: the files of most are named alike.
"""

_OPTIONS_OF_SCORING = ("lenpen", "unnormalized", "temperature", "retain_dropout", "retain_dropout_modules")
"""Those on which the score and the measures of a given translation depend."""


def draws_at_random(options: Any) -> bool:
    """Whether the hypotheses depend on a seed: they are sampled, or dropout is kept (fairseq's --retain-dropout)."""
    return bool(getattr(options, "sampling", False) or getattr(options, "retain_dropout", False))


def search_settings(
    options: Any, *, penalty: float = 0.0, penalty_measure: str = "", seed: int = 1
) -> str | None:
    """What of the search is not fairseq's default, as ``name=value`` with commas between; None if all is.

    Args:
        options: fairseq's generation options, or something with some of their names.
        penalty: of the uncertainty inside the beam; 0 is none.
        penalty_measure: what it acts on.
        seed: of what is drawn at random.
    """
    found = _unusual(options, _OPTIONS)
    if draws_at_random(options):
        found["seed"] = seed
    if penalty != 0:
        found |= {"uncertainty_penalty": penalty, "penalty_measure": penalty_measure}
    return _listed(found)


def scoring_settings(options: Any, *, seed: int = 1) -> str | None:
    """What is not fairseq's default of what given translations are scored with, written as :func:`search_settings` does.

    Args:
        options: as there.
        seed: of the dropout that is kept.
    """
    found = _unusual(options, _OPTIONS_OF_SCORING)
    if getattr(options, "retain_dropout", False):
        found["seed"] = seed
    return _listed(found)


def _unusual(options: Any, names: Sequence[str]) -> dict[str, Any]:
    """Those of the named options that are not fairseq's defaults."""
    from fairseq.dataclass.configs import GenerationConfig

    defaults = {field.name: field.default for field in fields(GenerationConfig)}
    return {
        name: getattr(options, name)
        for name in names
        if name in defaults and getattr(options, name, defaults[name]) != defaults[name]
    }


def _listed(found: Mapping[str, Any]) -> str | None:
    return ",".join(f"{name}={value}" for name, value in found.items()) or None
