"""The uncertainty file: what is written is read back, and each fault is one sentence with file and line."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from ednd_nmt.errors import UserError
from ednd_nmt.record_reader import read_records
from ednd_nmt.records import Header, Hypothesis, Sentence, header_to_json, sentence_to_json

HEADER = Header(
    system="student",
    members=1,
    nbest=2,
    beam=5,
    offset=1.0,
    decoding="mode",
    source_lang="en",
    target_lang="de",
    versions={"ednd_nmt": "0.1", "torch": "2.13.0"},
)


def make_sentence(identifier: int, reference: str | None = "Ein Satz.") -> Sentence:
    hypothesis = Hypothesis(
        text="Ein „Satz“.\u2028 </script>",
        tokens=("▁Ein", "▁„Satz“.", "</s>"),
        score=-0.25,
        log_probability=-0.75,
        measures={"TU": 0.5, "sTU": 0.25},
        token_measures={"TU": (0.25, 0.5, 0.75), "precision": (120000.0, 3.5, 1e12)},
    )
    return Sentence(
        identifier, "A \t sentence.", (hypothesis, hypothesis), {"TU": 0.5, "sTU": 0.25}, reference
    )


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def record(**changes: Any) -> str:
    """A valid sentence as JSON with some of its fields replaced."""
    return json.dumps({**json.loads(sentence_to_json(make_sentence(0))), **changes})


def with_hypothesis(**changes: Any) -> str:
    hypothesis = json.loads(sentence_to_json(make_sentence(0)))["hypotheses"][0]
    return record(hypotheses=[{**hypothesis, **changes}])


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    sentences = [make_sentence(0), make_sentence(3, reference=None), make_sentence(4, reference="")]
    sentences += [dataclasses.replace(make_sentence(5 + mark), abstained=mark) for mark in (False, True)]
    decided = dataclasses.replace(HEADER, decision="abstain[TU>1]")
    path = write(tmp_path / "a.jsonl", header_to_json(decided), *map(sentence_to_json, sentences))
    header, read = read_records(path)
    assert header == decided
    assert list(read) == sentences


def test_a_missing_reference_is_an_absent_key() -> None:
    assert "reference" not in json.loads(sentence_to_json(make_sentence(0, reference=None)))
    assert json.loads(sentence_to_json(make_sentence(0, reference="")))["reference"] == ""


def test_one_sentence_is_one_line_with_seven_significant_digits() -> None:
    sentence = dataclasses.replace(
        make_sentence(0), source="two\nlines", measures={"TU": 0.123456789, "MI": 1e-9 / 3}
    )
    line = sentence_to_json(sentence)
    assert "\n" not in line
    assert json.loads(line)["measures"] == {"TU": 0.1234568, "MI": 3.333333e-10}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused_by_the_writer(value: float) -> None:
    with pytest.raises(UserError, match="Sentence 7 has a measure that is NaN or infinite"):
        sentence_to_json(dataclasses.replace(make_sentence(7), measures={"TU": value}))


def test_a_file_without_sentences_is_valid(tmp_path: Path) -> None:
    _, sentences = read_records(write(tmp_path / "a.jsonl", header_to_json(HEADER)))
    assert list(sentences) == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("", "the line is empty"),
        ('{"id": 0, "sour', "not valid JSON"),
        ("[1]", "the line must be a JSON object, not a list"),
        (record(id=-1), "'id' must be a whole number from 0, not -1"),
        (record(id=True), "'id' must be a whole number from 0, not True"),
        (record(refrence="x"), "unknown key 'refrence'"),
        (record(reference=None), "'reference' must be a string, not null"),
        (record(abstained=1), "'abstained' must be true or false, not a number"),
        (record(abstained=None), "'abstained' must be true or false, not null"),
        (record(hypotheses=[]), "'hypotheses' must be a list with at least one entry"),
        (record(measures={"TU": "0.5"}), r"'measures'\['TU'\] must be a finite number, not '0.5'"),
        (record(measures={"TU": float("nan")}), "NaN is not a number"),
        (with_hypothesis(tokens=[1, 2, 3]), "'tokens' of hypothesis 1 must be strings"),
        (with_hypothesis(token_measures={"TU": [0.1]}), r"'TU'\] of hypothesis 1 has 1 values for 3 tokens"),
        (with_hypothesis(token_measures={"TU": [0.1, None, 1]}), "must be a finite number, not None"),
        (with_hypothesis(token_measures={"TU": [7, 7, 7]}).replace("7", "1e999"), "a finite number, not inf"),
        (with_hypothesis(score=False), "'score' of hypothesis 1 must be a finite number, not False"),
    ],
)
def test_a_faulty_sentence_is_one_clear_message(tmp_path: Path, line: str, fault: str) -> None:
    path = write(tmp_path / "bad.jsonl", header_to_json(HEADER), line)
    _, sentences = read_records(path)
    with pytest.raises(UserError, match=fault) as caught:
        list(sentences)
    assert "bad.jsonl, line 2: " in str(caught.value)


def test_ids_must_rise(tmp_path: Path) -> None:
    lines = [sentence_to_json(make_sentence(identifier)) for identifier in (0, 4, 4)]
    _, sentences = read_records(write(tmp_path / "a.jsonl", header_to_json(HEADER), *lines))
    with pytest.raises(UserError, match="line 4: id 4 follows id 4"):
        list(sentences)


def test_a_measure_is_a_whole_column(tmp_path: Path) -> None:
    lines = [sentence_to_json(make_sentence(0)), record(id=1, measures={"TU": 1})]
    _, sentences = read_records(write(tmp_path / "a.jsonl", header_to_json(HEADER), *lines))
    with pytest.raises(
        UserError, match="line 3: the sentence has the measures 'TU', but earlier ones have 'TU', 'sTU'"
    ):
        list(sentences)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("S-0\tHello", "not valid JSON"),
        ('{"id": 0}', "this is not an uncertainty file"),
        ('{"format": "ednd-nmt.uncertainty", "version": 2}', "format version 2 is not the version 1"),
        ('{"format": "ednd-nmt.uncertainty", "version": 1}', "the header lacks 'members', 'nbest', 'system'"),
        (
            header_to_json(dataclasses.replace(HEADER, system="x")),
            "'system' must be one of single, ensemble, student",
        ),
        ("\n", "the line is empty"),
    ],
)
def test_a_faulty_header_is_one_clear_message(tmp_path: Path, line: str, fault: str) -> None:
    with pytest.raises(UserError, match=fault) as caught:
        read_records(write(tmp_path / "bad.jsonl", line))
    assert "bad.jsonl, line 1: " in str(caught.value)


def test_an_empty_file_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.touch()
    with pytest.raises(UserError, match=r"line 1: the file is empty; was the translation interrupted\?$"):
        read_records(path)
    path.write_text("\ufeff" + header_to_json(HEADER) + "\n", encoding="utf-8")
    assert read_records(path)[0] == HEADER


def test_what_python_writes_as_json_and_is_no_text_or_number(tmp_path: Path) -> None:
    for line, fault in (
        (record(source="\ud800"), "half a surrogate pair"),
        (record(measures={"TU": 10**400}), "must be a finite number"),
        (with_hypothesis(token_measures={"TU": [10**400, 1, 1]}), "must be a finite number"),
        ("9" * 5000, "not a record"),
        ("[" * 100_000, "not a record|not valid JSON"),
    ):
        _, sentences = read_records(write(tmp_path / "bad.jsonl", header_to_json(HEADER), line))
        with pytest.raises(UserError, match=fault):
            list(sentences)


def test_a_missing_file_and_a_wrong_encoding_are_one_clear_message(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Cannot read .*No such file"):
        read_records(tmp_path / "none.jsonl")
    for content in (b"\xe4\xf6\n", b"\xe4\xf6"):
        (tmp_path / "latin1.jsonl").write_bytes(content)
        with pytest.raises(UserError, match="line 1: the text is not valid UTF-8"):
            read_records(tmp_path / "latin1.jsonl")


def test_a_file_that_is_cut_off_anywhere_is_called_so(tmp_path: Path) -> None:
    """Within a character, too, which is no fault of its encoding."""
    source = '"source":"'
    line = sentence_to_json(make_sentence(0)).replace(source, f"{source}ä€𝄞")
    whole = write(tmp_path / "whole.jsonl", header_to_json(HEADER), line).read_bytes().rstrip(b"\n")
    start = len(header_to_json(HEADER)) + 1
    for end in range(start + 1, len(whole)):
        (tmp_path / "cut.jsonl").write_bytes(whole[:end])
        _, sentences = read_records(tmp_path / "cut.jsonl")
        with pytest.raises(UserError, match=r"line 2: .*; was the file cut off\?"):
            next(sentences)


def test_a_wrong_encoding_is_found_in_its_own_line(tmp_path: Path) -> None:
    """Not where a decoder that reads ahead meets it; the sentences before it are there."""
    records = [sentence_to_json(make_sentence(i)) for i in range(100)]
    path = write(tmp_path / "mixed.jsonl", header_to_json(HEADER), *records)
    lines = path.read_bytes().split(b"\n")
    lines[79] = lines[79].replace(b'"source":"', b'"source":"\xe4')
    path.write_bytes(b"\n".join(lines))
    _, sentences = read_records(path)
    assert [next(sentences).id for _ in range(78)] == list(range(78))
    with pytest.raises(UserError, match="line 80: the text is not valid UTF-8"):
        next(sentences)
