"""The uncertainty file: JSON lines, one header and then one record per source sentence.

Line 1 is a :class:`Header`; every other line is a :class:`Sentence` in the order of the input. The writer
of the package and every reader of it go through this module, so that a field has one name and one meaning.
Numbers are in nats and rounded to seven significant digits, which is what float32 carries. A measure that a
system does not have is absent, never zero. Larger always means more uncertain, except for the token-level
``precision`` and ``log_probability``.

For other readers, ``uncertainty.schema.json`` beside this module is the JSON Schema of a line (:func:`json_schema`).
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import IO, Any, NoReturn

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
    offset: float | None = None  # a student's alpha = exp(logit) + offset
    decoding: str | None = None  # "mode" or "mean" of the Dirichlet, for a student
    search: str | None = None  # what of the search is not fairseq's default, under fairseq's names
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
        named = {"combination": self.combination, "decoding": self.decoding}
        return ",".join([*parts, *(f"{name}={value}" for name, value in named.items() if value is not None)])

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


def read_records(path: str | os.PathLike[str]) -> tuple[Header, Iterator[Sentence]]:
    """Open an uncertainty file: its header at once, its sentences one by one as they are asked for.

    Ids must rise strictly, and every sentence (and every hypothesis) must carry the same measures as the
    first one, so that a measure is a whole column or is not there at all.

    Raises:
        UserError: at the first line that is not as described in this module; the message names file, line and
            fault. Faults in the header raise from the call, faults in a sentence from the iteration.
    """
    try:
        stream = open(path, encoding="utf-8-sig")  # noqa: SIM115 - closed by the generator, or below
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}.") from error
    try:
        first = _Line(path, 1)
        header = _header(first.parse(_next_line(stream, first)), first)
    except BaseException:
        stream.close()
        raise
    return header, _sentences(stream, path)


def read_chosen(path: str | os.PathLike[str], positions: Collection[int]) -> Iterator[tuple[int, Sentence]]:
    """Position and sentence of some of a file that :func:`read_records` has been through; the others are not parsed.

    Args:
        path: uncertainty file.
        positions: which sentences, from 0.

    Raises:
        UserError: a chosen line is not as described in this module.
    """
    with open(path, encoding="utf-8") as stream:
        next(stream)
        for position, text in enumerate(stream):
            if position in positions:
                line = _Line(path, position + 2)
                yield position, _sentence(line.parse(text), line)


def _sentences(stream: IO[str], path: str | os.PathLike[str]) -> Iterator[Sentence]:
    previous: Sentence | None = None
    number = 1
    with stream:
        while True:
            number += 1
            line = _Line(path, number)
            text = _next_line(stream, line)
            if not text:
                return
            sentence = _sentence(line.parse(text), line)
            _check_against_first(sentence, previous or sentence, line)
            if previous is not None and sentence.id <= previous.id:
                line.fail(f"id {sentence.id} follows id {previous.id}; ids must rise from line to line")
            previous = sentence
            yield sentence


def _next_line(stream: IO[str], line: _Line) -> str:
    try:
        return stream.readline()
    except UnicodeDecodeError:
        line.fail("the text is not valid UTF-8")


class _Line:
    """Where a fault is, and the typed look-ups that report it."""

    def __init__(self, path: str | os.PathLike[str], number: int) -> None:
        self.path = path
        self.number = number

    def fail(self, what: str) -> NoReturn:
        raise UserError(f"{Path(self.path)}, line {self.number}: {what}{'' if what.endswith('?') else '.'}")

    def parse(self, text: str) -> Mapping[str, Any]:
        if not text and self.number == 1:
            self.fail("the file is empty; was the translation interrupted?")
        if not text.strip():
            self.fail("the line is empty; every line must be one JSON object")
        try:
            record = json.loads(text, parse_constant=self._not_finite)
        except json.JSONDecodeError as error:
            self.fail(f"not valid JSON ({error.msg} at column {error.colno}); was the file cut off?")
        except UserError:
            raise
        except (ValueError, RecursionError) as error:  # what Python's reader will not even try
            self.fail(f"not a record ({error})")
        if "\\u" in text and not _is_unicode(json.dumps(record, ensure_ascii=False)):
            self.fail("half a surrogate pair is no character; was a text cut at a fixed length?")
        return self.mapping(record, "the line")

    def _not_finite(self, constant: str) -> NoReturn:
        self.fail(f"{constant} is not a number; remove the sentence or mend the model that wrote it")

    def keys(self, record: Mapping[str, Any], required: set[str], optional: set[str], where: str) -> None:
        missing = sorted(required - record.keys())
        if missing:
            self.fail(f"{where} lacks {_quoted(missing)}")
        unknown = sorted(record.keys() - required - optional)
        if unknown:
            self.fail(f"{where} has the unknown key {_quoted(unknown)}")

    def mapping(self, value: Any, where: str) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            self.fail(f"{where} must be a JSON object, not {_kind(value)}")
        return value

    def string(self, value: Any, where: str) -> str:
        if not isinstance(value, str):
            self.fail(f"{where} must be a string, not {_kind(value)}")
        return value

    def boolean(self, value: Any, where: str) -> bool:
        if not isinstance(value, bool):
            self.fail(f"{where} must be true or false, not {_kind(value)}")
        return value

    def whole(self, value: Any, where: str, least: int) -> int:
        if type(value) is not int or value < least:
            self.fail(f"{where} must be a whole number from {least}, not {value!r}")
        return value

    def number_(self, value: Any, where: str) -> float:
        if type(value) not in (int, float) or not _is_finite(value):
            self.fail(f"{where} must be a finite number, not {value!r}")
        return float(value)

    def numbers(self, value: Any, where: str) -> dict[str, float]:
        return {
            name: self.number_(number, f"{where}[{name!r}]")
            for name, number in self.mapping(value, where).items()
        }

    def listed(self, value: Any, where: str) -> list[Any]:
        if not isinstance(value, list) or not value:
            self.fail(f"{where} must be a list with at least one entry")
        return value

    def choice(self, value: Any, where: str, choices: tuple[str, ...]) -> str:
        if value not in choices:
            self.fail(f"{where} must be one of {', '.join(choices)}, not {value!r}")
        return str(value)

    def optional(self, value: Any, where: str, check: Callable[[Any, str], Any]) -> Any:
        return None if value is None else check(value, where)


def _header(record: Mapping[str, Any], line: _Line) -> Header:
    if record.get("format") != FORMAT:
        line.fail(f'this is not an uncertainty file: the first line must hold "format": "{FORMAT}"')
    if type(record.get("version")) is not int or record["version"] != VERSION:
        line.fail(f"format version {record.get('version')!r} is not the version {VERSION} that is read here")
    required = {"format", "version", "system", "members", "nbest"}
    fields = set(Header.__dataclass_fields__)
    line.keys(record, required, fields, "the header")
    versions = line.mapping(record.get("versions", {}), "'versions'")
    return Header(
        system=line.choice(record["system"], "'system'", SYSTEMS),
        members=line.whole(record["members"], "'members'", 1),
        nbest=line.whole(record["nbest"], "'nbest'", 1),
        beam=line.optional(record.get("beam"), "'beam'", lambda value, where: line.whole(value, where, 1)),
        combination=line.optional(record.get("combination"), "'combination'", line.string),
        offset=line.optional(record.get("offset"), "'offset'", line.number_),
        decoding=line.optional(record.get("decoding"), "'decoding'", line.string),
        search=line.optional(record.get("search"), "'search'", line.string),
        source_lang=line.optional(record.get("source_lang"), "'source_lang'", line.string),
        target_lang=line.optional(record.get("target_lang"), "'target_lang'", line.string),
        weighting=line.choice(record.get("weighting", "posterior"), "'weighting'", WEIGHTINGS),
        temperature=line.number_(record.get("temperature", 1.0), "'temperature'"),
        decision=line.optional(record.get("decision"), "'decision'", line.string),
        versions={name: line.string(value, f"versions[{name!r}]") for name, value in versions.items()},
    )


def _sentence(record: Mapping[str, Any], line: _Line) -> Sentence:
    line.keys(record, {"id", "source", "measures", "hypotheses"}, {"reference", "abstained"}, "the sentence")
    reference = line.string(record["reference"], "'reference'") if "reference" in record else None
    abstained = line.boolean(record["abstained"], "'abstained'") if "abstained" in record else None
    hypotheses = line.listed(record["hypotheses"], "'hypotheses'")
    return Sentence(
        id=line.whole(record["id"], "'id'", 0),
        source=line.string(record["source"], "'source'"),
        reference=reference,
        abstained=abstained,
        measures=line.numbers(record["measures"], "'measures'"),
        hypotheses=tuple(
            _hypothesis(line.mapping(hypothesis, f"hypothesis {index}"), f"hypothesis {index}", line)
            for index, hypothesis in enumerate(hypotheses, start=1)
        ),
    )


def _hypothesis(record: Mapping[str, Any], where: str, line: _Line) -> Hypothesis:
    required = {"text", "tokens", "score", "log_probability", "measures", "token_measures"}
    line.keys(record, required, set(), where)
    tokens = tuple(line.listed(record["tokens"], f"'tokens' of {where}"))
    if not all(isinstance(token, str) for token in tokens):
        line.fail(f"'tokens' of {where} must be strings")
    token_measures = {}
    for name, values in line.mapping(record["token_measures"], f"'token_measures' of {where}").items():
        values = line.listed(values, f"token_measures[{name!r}] of {where}")
        if len(values) != len(tokens):
            line.fail(
                f"token_measures[{name!r}] of {where} has {len(values)} values for {len(tokens)} tokens"
            )
        # One pass in C for the usual case; the slow look-up only words the fault.
        if set(map(type, values)) != {float} or not all(map(math.isfinite, values)):
            for value in values:
                line.number_(value, f"each value of token_measures[{name!r}] of {where}")
        token_measures[name] = tuple(map(float, values))
    return Hypothesis(
        text=line.string(record["text"], f"'text' of {where}"),
        tokens=tokens,
        score=line.number_(record["score"], f"'score' of {where}"),
        log_probability=line.number_(record["log_probability"], f"'log_probability' of {where}"),
        measures=line.numbers(record["measures"], f"'measures' of {where}"),
        token_measures=token_measures,
    )


def _check_against_first(sentence: Sentence, first: Sentence, line: _Line) -> None:
    """Measures are whole columns: the same names everywhere (neighbours equal, so all equal)."""
    pattern = first.hypotheses[0]
    if sentence.measures.keys() != first.measures.keys():
        line.fail(_differing("the sentence", sentence.measures, first.measures))
    for index, hypothesis in enumerate(sentence.hypotheses, start=1):
        if hypothesis.measures.keys() != pattern.measures.keys():
            line.fail(_differing(f"hypothesis {index}", hypothesis.measures, pattern.measures))
        if hypothesis.token_measures.keys() != pattern.token_measures.keys():
            line.fail(_differing(f"hypothesis {index}", hypothesis.token_measures, pattern.token_measures))


def _differing(where: str, found: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    have, had = _quoted(sorted(found)), _quoted(sorted(expected))
    return f"{where} has the measures {have}, but earlier ones have {had}"


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _rounded(measures: Mapping[str, float]) -> dict[str, float]:
    return {name: _round(value) for name, value in measures.items()}


def _numbers(values: tuple[float, ...], what: str) -> str:
    """A list as JSON, by one formatting of all values: nearly all of a file are values of tokens."""
    text = ",".join(["%.7g"] * len(values)) % values
    if "n" in text:
        raise _not_finite(what)
    return f"[{text}]"


def _round(value: float) -> float:
    return float(f"{value:.7g}")


def _dump(record: Mapping[str, Any], what: str) -> str:
    try:
        return json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        raise _not_finite(what) from error


def _not_finite(what: str) -> UserError:
    return UserError(
        f"{what} has a measure that is NaN or infinite and was not written; "
        "check the checkpoint, its weights probably hold NaN."
    )


def _quoted(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names) or "none"


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
