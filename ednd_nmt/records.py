"""The uncertainty file: JSON lines, one header and then one record per source sentence.

Line 1 is a :class:`Header`; every other line is a :class:`Sentence` in the order of the input. The writer
of the package goes through this module and every reader through :mod:`ednd_nmt.record_reader`, so that a field has one
name and one meaning.
Numbers are in nats and rounded to seven significant digits, which is what float32 carries. A measure that a
system does not have is absent, never zero. Larger always means more uncertain, except for the token-level
``precision`` and ``log_probability``.

For other readers, ``uncertainty.schema.json`` beside this module is the JSON Schema of a line (:func:`json_schema`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from ednd_nmt.errors import UserError, nearest

FORMAT = "ednd-nmt.uncertainty"
VERSION = 1
SYSTEMS = ("single", "ensemble", "student")
WEIGHTINGS = ("posterior", "uniform", "best")


@dataclass(frozen=True)
class Header:
    """What produced the file: everything that a signature beside a figure has to name."""

    system: str  # one of SYSTEMS
    members: int  # models whose outputs are combined; 1 for a single model and for a student
    nbest: int  # hypotheses per sentence asked for
    beam: int | None = None  # None when given texts are scored and nothing is searched
    combination: str | None = None  # "pe" or "ep" for an ensemble
    offset: float | None = None  # of the student's alpha = exp(logit) + offset in the measures
    decoding: str | None = None  # "mode" or "mean" of the Dirichlet, for a student
    search: str | None = None  # what of search or scoring is not fairseq's default, under fairseq's names
    source_lang: str | None = None
    target_lang: str | None = None
    weighting: str = "posterior"  # how the sentence-level measures weigh the hypotheses; one of WEIGHTINGS
    temperature: float = 1.0  # T of softmax(log_probability / T) for the posterior weighting
    decision: str | None = None  # what was reranked or abstained on afterwards, and how
    versions: Mapping[str, str] = field(default_factory=dict)  # package name -> version

    @property
    def predictive(self) -> str:
        """What the measures are of: the kind of system, and how its models or its Dirichlet make one distribution."""
        parts = [self.system, *([f"members={self.members}"] if self.members > 1 else [])]
        named = {"combination": self.combination, "decoding": self.decoding, "offset": self.unusual_offset}
        return ",".join([*parts, *(f"{name}={value}" for name, value in named.items() if value is not None)])

    @property
    def unusual_offset(self) -> str | None:
        """A student's offset if it is not the paper's 1, which goes without saying."""
        return None if self.offset in (None, 1) else f"{self.offset:g}"

    @property
    def conditions(self) -> str:
        """What else a sentence's measures depend on: the search (whatever its seed), and how its n-best list is weighed."""
        search = [] if self.search is None else [re.sub(r",seed=\d+", "", self.search)]
        weights = [f"weighting={self.weighting}", f"T={self.temperature:g}"]
        return ",".join([f"beam={self.beam}", *search, f"nbest={self.nbest}", *weights])


@dataclass(frozen=True)
class Hypothesis:
    """One translation of a sentence.

    ``measures`` are averages over the tokens (TU, DU, MI, EPKL, MKL) or scores of the chosen tokens (sTU,
    sDU, sMKL, logvar); each list in ``token_measures`` has one value per entry of ``tokens``, the
    end-of-sentence token included.
    """

    text: str
    tokens: tuple[str, ...]
    score: float  # the search's own score: length-normalised log-probability, nats
    log_probability: float  # ln P(y|x), the sum over the tokens, nats
    measures: Mapping[str, float]
    token_measures: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Sentence:
    """One source sentence with its hypotheses, best first, and its measures over the n-best list.

    A calibration adds ``p_bad``, the probability of a bad translation, to the measures of the sentence alone.
    """

    id: int  # 0-based line number of the input
    source: str
    hypotheses: tuple[Hypothesis, ...]
    measures: Mapping[str, float]
    reference: str | None = None
    abstained: bool | None = None  # True: too uncertain to be used; None: nobody asked

    @property
    def text(self) -> str:
        """The best translation."""
        return self.hypotheses[0].text


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a line of the file: a header or a sentence."""
    text = resources.files("ednd_nmt").joinpath("uncertainty.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def measure_value(measures: Mapping[str, float], name: str) -> float:
    """One measure of a sentence or a hypothesis.

    Raises:
        UserError: the system does not have it; a name that is like it is suggested.
    """
    try:
        return measures[name]
    except KeyError:
        raise UserError(
            f"This system has no measure {name!r}{nearest(name, measures)}; it has {', '.join(measures)}."
            if measures
            else f"There is no measure {name!r}, nor any other, in these records."
        ) from None


def header_to_json(header: Header) -> str:
    """The header as one line of JSON without a line end; fields that do not apply are null."""
    return _dump(
        {
            "format": FORMAT,
            "version": VERSION,
            "system": header.system,
            "members": header.members,
            "beam": header.beam,
            "nbest": header.nbest,
            "combination": header.combination,
            "offset": header.offset,
            "decoding": header.decoding,
            "search": header.search,
            "source_lang": header.source_lang,
            "target_lang": header.target_lang,
            "weighting": header.weighting,
            "temperature": header.temperature,
            "decision": header.decision,
            "versions": dict(header.versions),
        },
        "The header",
    )


def sentence_to_json(sentence: Sentence) -> str:
    """The sentence as one line of JSON without a line end: fixed key order, 7 significant digits.

    Raises:
        UserError: a value is NaN or infinite, which JSON cannot hold and no measure may be.
    """
    what = f"Sentence {sentence.id}"
    record: dict[str, Any] = {"id": sentence.id, "source": sentence.source}
    if sentence.reference is not None:
        record["reference"] = sentence.reference
    if sentence.abstained is not None:
        record["abstained"] = sentence.abstained
    record["measures"] = _rounded(sentence.measures)
    hypotheses = ",".join(_hypothesis_to_json(hypothesis, what) for hypothesis in sentence.hypotheses)
    return f'{_dump(record, what)[:-1]},"hypotheses":[{hypotheses}]}}'


def _hypothesis_to_json(hypothesis: Hypothesis, what: str) -> str:
    record = {
        "text": hypothesis.text,
        "tokens": hypothesis.tokens,
        "score": _round(hypothesis.score),
        "log_probability": _round(hypothesis.log_probability),
        "measures": _rounded(hypothesis.measures),
    }
    columns = ",".join(
        f"{json.dumps(name)}:{_numbers(values, what)}" for name, values in hypothesis.token_measures.items()
    )
    return f'{_dump(record, what)[:-1]},"token_measures":{{{columns}}}}}'


def _rounded(measures: Mapping[str, float]) -> dict[str, float]:
    return {name: _round(value) for name, value in measures.items()}


def _numbers(values: tuple[float, ...], what: str) -> str:
    """A list as JSON, by one formatting of all values: nearly all of a file are values of tokens."""
    text = ",".join(["%.7g"] * len(values)) % values
    if "n" in text:
        raise not_finite(what)
    return f"[{text}]"


def _round(value: float) -> float:
    return float(f"{value:.7g}")


def _dump(record: Mapping[str, Any], what: str) -> str:
    try:
        return json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        raise not_finite(what) from error


def not_finite(what: str) -> UserError:
    """What to tell the user about a record of a model whose numbers have left their range."""
    return UserError(
        f"{what} has a measure that is NaN or infinite and was not written; "
        "check the checkpoint, its weights probably hold NaN."
    )
