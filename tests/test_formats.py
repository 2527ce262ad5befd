"""Every output format is read back with the tools of its field, whatever the texts hold."""

from __future__ import annotations

import csv
import io
import json
import math

import pytest
from generated_records import headers, lists_of_sentences
from hypothesis import given, settings

from ednd_nmt.formats import FORMATS, without_separator
from ednd_nmt.record_reader import read_records
from ednd_nmt.records import Header, Sentence

SENTENCES = lists_of_sentences(least=1)


def written(name: str, header: Header, sentences: list[Sentence]) -> str:
    output_format = FORMATS[name](header)
    return output_format.head(sentences[0]) + "".join(map(output_format.sentence, sentences))


def lines_of(text: str) -> list[str]:
    """Lines as every Unix tool sees them."""
    assert text.endswith("\n")
    return text[:-1].split("\n")


def plain(text: str) -> str:
    """Text without what ends a line or a column."""
    return text.translate({ord(character): " " for character in "\t\r\n"})


def marked(sentence: Sentence) -> dict[str, float]:
    """The mark of abstention where formats know numbers only."""
    return {} if sentence.abstained is None else {"abstained": float(sentence.abstained)}


@settings(deadline=None)
@given(headers(), SENTENCES)
def test_json_lines(
    tmp_path_factory: pytest.TempPathFactory, header: Header, sentences: list[Sentence]
) -> None:
    path = tmp_path_factory.getbasetemp() / "round.jsonl"
    path.write_bytes(written("jsonl", header, sentences).encode())
    read_header, read = read_records(path)
    assert list(read) == sentences
    assert read_header.versions == header.versions
    assert read_header.temperature == pytest.approx(header.temperature)


@settings(deadline=None)
@given(headers(), SENTENCES)
def test_plain_text(header: Header, sentences: list[Sentence]) -> None:
    for line, sentence in zip(lines_of(written("text", header, sentences)), sentences, strict=True):
        uncertainty, *mark, text = line.split("\t")
        assert mark == {None: [], True: ["abstained"], False: ["kept"]}[sentence.abstained]
        assert float(uncertainty) == pytest.approx(sentence.measures["sTU"], abs=1e-4)
        assert text == plain(sentence.text)


@settings(deadline=None)
@given(headers(), SENTENCES)
def test_tab_separated(header: Header, sentences: list[Sentence]) -> None:
    text = written("tsv", header, sentences)
    rows = list(csv.DictReader(io.StringIO(text, newline="\n"), delimiter="\t", quoting=csv.QUOTE_NONE))
    hypotheses = [(s, rank, h) for s in sentences for rank, h in enumerate(s.hypotheses, start=1)]
    assert len(rows) == len(hypotheses) == len(lines_of(text)) - 1
    for row, (sentence, rank, hypothesis) in zip(rows, hypotheses, strict=True):
        assert (row["id"], row["rank"]) == (str(sentence.id), str(rank))
        assert (row["source"], row["translation"]) == (plain(sentence.source), plain(hypothesis.text))
        assert float(row["score"]) == hypothesis.score
        assert float(row["log_probability"]) == hypothesis.log_probability
        expected = {**hypothesis.measures, **marked(sentence)}
        assert {name: float(row[name]) for name in expected} == expected


@settings(deadline=None)
@given(headers(), SENTENCES)
def test_moses(header: Header, sentences: list[Sentence]) -> None:
    lines = lines_of(written("moses", header, sentences))
    hypotheses = [(s, h) for s in sentences for h in s.hypotheses]
    for line, (sentence, hypothesis) in zip(lines, hypotheses, strict=True):
        number, text, features, score = line.split(" ||| ")
        assert (int(number), float(score)) == (sentence.id, hypothesis.score)
        assert text.replace(" ", "") == plain(hypothesis.text).replace(" ", "")
        names, values = features.split(" ")[::2], features.split(" ")[1::2]
        pairs = zip((name.removesuffix("=") for name in names), map(float, values), strict=True)
        assert dict(pairs) == {**hypothesis.measures, **marked(sentence)}


def test_moses_keeps_text_and_separator_apart() -> None:
    assert without_separator("a ||| b || c ||||| d |||") == "a | | | b || c | | | | | d | | |"


@settings(deadline=None)
@given(headers(), SENTENCES)
def test_shifts(header: Header, sentences: list[Sentence]) -> None:
    for line, sentence in zip(lines_of(written("shifts", header, sentences)), sentences, strict=True):
        record = json.loads(line)
        assert record["id"] == sentence.id
        assert record["uncertainty"] == sentence.measures["sTU"]
        assert [entry["text"] for entry in record["hypos"]] == [h.text for h in sentence.hypotheses]
        assert sum(entry["confidence"] for entry in record["hypos"]) == pytest.approx(1)


@settings(deadline=None)
@given(headers(), SENTENCES)
def test_fairseq(header: Header, sentences: list[Sentence]) -> None:
    lines = iter(lines_of(written("fairseq", header, sentences)))

    def following(letter: str, sentence: Sentence) -> list[str]:
        name, *rest = next(lines).split("\t")
        assert name == f"{letter}-{sentence.id}"
        return rest

    for sentence in sentences:
        assert following("S", sentence) == [plain(sentence.source)]
        if sentence.reference is not None:
            assert following("T", sentence) == [plain(sentence.reference)]
        for hypothesis in sentence.hypotheses:
            score, tokens = following("H", sentence)
            assert float(score) * math.log(2) == pytest.approx(hypothesis.score, rel=1e-6)
            assert tokens == plain(" ".join(hypothesis.tokens[:-1]))
            assert following("D", sentence) == [score, plain(hypothesis.text)]
            (positions,) = following("P", sentence)
            assert len(positions.split(" ")) == len(hypothesis.tokens)
            (measures,) = following("U", sentence)
            pairs = dict(pair.split("=") for pair in measures.split(" "))
            expected = {**hypothesis.measures, **marked(sentence)}
            assert {name: float(value) for name, value in pairs.items()} == expected
    assert next(lines, None) is None
