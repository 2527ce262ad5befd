"""The JSON Schema of the uncertainty file says what the reader and the writer do."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from generated_records import JSON_VALUES, headers, lists_of_sentences
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from ednd_nmt.errors import UserError
from ednd_nmt.record_reader import read_records
from ednd_nmt.records import (
    FORMAT,
    Header,
    Hypothesis,
    Sentence,
    header_to_json,
    json_schema,
    sentence_to_json,
)

SCHEMA = json_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
SENTENCES = lists_of_sentences(least=1)


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    ("name", "kind"), [("header", Header), ("sentence", Sentence), ("hypothesis", Hypothesis)]
)
def test_the_schema_knows_every_field(name: str, kind: Any) -> None:
    fields = {field.name for field in dataclasses.fields(kind)}
    assert SCHEMA["$defs"][name]["properties"].keys() == fields | (
        {"format", "version"} if kind is Header else set()
    )


@settings(deadline=None)
@given(headers(), SENTENCES)
def test_what_is_written_is_valid(header: Header, sentences: list[Sentence]) -> None:
    for line in (header_to_json(header), *map(sentence_to_json, sentences)):
        VALIDATOR.validate(json.loads(line))


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container of a JSON value with each of its keys."""
    keys = (
        list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    )
    return [(value, key) for key in keys] + [place for key in keys for place in places(value[key])]


def refusal(path: Path) -> str | None:
    """What the reader has against a file."""
    try:
        _, read = read_records(path)
        list(read)
    except UserError as error:
        return str(error)
    return None


@settings(deadline=None, max_examples=300)
@given(st.data(), SENTENCES, headers())
def test_what_the_schema_refuses_the_reader_refuses(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, sentences: list[Sentence], header: Header
) -> None:
    """One value of a valid record is replaced, removed or renamed; the reader takes nothing that is not valid."""
    lines = [json.loads(header_to_json(header)), json.loads(sentence_to_json(sentences[0]))]
    number = data.draw(st.integers(0, 1))
    container, key = data.draw(st.sampled_from(places(lines[number])))
    change = data.draw(st.sampled_from(["replace", "remove", "rename"]))
    if change == "replace":
        container[key] = data.draw(JSON_VALUES)
    else:
        value = container.pop(key)
        if change == "rename" and isinstance(container, dict):
            container[data.draw(st.text(max_size=5))] = value
    path = tmp_path_factory.getbasetemp() / "mutated.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    fault = refusal(path)
    if fault is None:
        VALIDATOR.validate(json.loads(json.dumps(lines[number])))
    else:
        assert f"{path}, line {number + 1}: " in fault
        assert "\n" not in fault


def test_a_header_is_told_from_a_sentence() -> None:
    (error,) = VALIDATOR.iter_errors({"format": FORMAT, "version": 2})
    assert error.validator == "oneOf"
