"""Reading the uncertainty file (:mod:`ednd_nmt.records`): what is not as described there is one sentence about its line."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NoReturn

from ednd_nmt.errors import UserError
from ednd_nmt.records import FORMAT, SYSTEMS, VERSION, WEIGHTINGS, Header, Hypothesis, Sentence


def read_records(path: str | os.PathLike[str]) -> tuple[Header, Iterator[Sentence]]:
    """Open an uncertainty file: its header at once, its sentences one by one as they are asked for.

    Ids must rise strictly, and every sentence (and every hypothesis) must carry the same measures as the
    first one, so that a measure is a whole column or is not there at all.

    Raises:
        UserError: at the first line that is not as described in :mod:`ednd_nmt.records`; the message names file, line and
            fault. Faults in the header raise from the call, faults in a sentence from the iteration.
    """
    try:
        stream = open(path, "rb")  # noqa: SIM115 - closed by the generator, or below
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
        UserError: a chosen line is not as described in :mod:`ednd_nmt.records`.
    """
    with open(path, "rb") as stream:
        next(stream)
        for position, encoded in enumerate(stream):
            if position in positions:
                line = _Line(path, position + 2)
                yield position, _sentence(line.parse(_decoded(encoded, line)), line)


def _sentences(stream: IO[bytes], path: str | os.PathLike[str]) -> Iterator[Sentence]:
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


def _next_line(stream: IO[bytes], line: _Line) -> str:
    return _decoded(stream.readline(), line)


def _decoded(encoded: bytes, line: _Line) -> str:
    """One line as text; a stream that decodes reads ahead, and would blame a line long before the faulty one."""
    try:
        return encoded.decode("utf-8-sig" if line.number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data" and not encoded.endswith(b"\n"):
            line.fail("the text ends within a character; was the file cut off?")
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


def _quoted(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names) or "none"


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
