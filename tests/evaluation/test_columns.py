"""Uncertainty files as columns, aggregated as written or anew."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from ednd_nmt.errors import UserError
from ednd_nmt.evaluation.columns import Aggregation, Columns, check_same_sentences, read_columns


def copy_without(path: Path, target: Path, position: int, **changes: object) -> Path:
    """Copy an uncertainty file with one of its records changed, or left out when there are no changes."""
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    if changes:
        record = {**json.loads(lines[position + 1]), **changes}
        lines[position + 1] = json.dumps({k: v for k, v in record.items() if v is not None})
    else:
        del lines[position + 1]
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return target


def test_columns_hold_what_the_file_says(runs: Path) -> None:
    columns = read_columns(runs / "student/test.jsonl")
    records = [
        json.loads(line) for line in (runs / "student/test.jsonl").read_text("utf-8").split("\n")[1:-1]
    ]
    assert len(columns) == len(records) == 60
    assert columns.references == [record["reference"] for record in records]
    assert columns.translations == [record["hypotheses"][0]["text"] for record in records]
    assert columns.measures["TU"].tolist() == [record["measures"]["TU"] for record in records]
    assert read_columns(runs / "student/german.jsonl").references is None


def test_aggregating_as_the_file_did_gives_what_it_says(runs: Path) -> None:
    written = read_columns(runs / "ensemble/test.jsonl")
    anew = read_columns(runs / "ensemble/test.jsonl", Aggregation(weighting="posterior"))
    for name, values in written.measures.items():
        np.testing.assert_allclose(anew.measures[name], values, rtol=1e-5)


def test_one_hypothesis_is_the_best_one(runs: Path) -> None:
    best = read_columns(runs / "single/test.jsonl", Aggregation(weighting="best"))
    first = read_columns(runs / "single/test.jsonl", Aggregation(nbest=1))
    np.testing.assert_array_equal(best.measures["TU"], first.measures["TU"])
    assert (best.header.weighting, first.header.nbest) == ("best", 1)


def test_systems_must_hold_the_same_sentences(runs: Path, tmp_path: Path) -> None:
    path = runs / "single/test.jsonl"
    whole = read_columns(path)
    check_same_sentences(whole, read_columns(runs / "student/test.jsonl"))
    for other, message in (
        (copy_without(path, tmp_path / "a.jsonl", 7), r"id 7 is in one of them only \(60 and 59 sentences\)"),
        (copy_without(path, tmp_path / "b.jsonl", 3, source="x"), "differ in the source of sentence 3"),
        (copy_without(path, tmp_path / "c.jsonl", 4, reference="x"), "differ in the reference of sentence 4"),
    ):
        with pytest.raises(UserError, match=message):
            check_same_sentences(whole, read_columns(other))


def test_systems_must_be_compared_in_the_same_words(runs: Path) -> None:
    """BLEU of Chinese is of characters: with the very same translations it would differ from that of words."""
    whole = read_columns(runs / "single/test.jsonl")

    def named(columns: Columns, language: str | None) -> Columns:
        return dataclasses.replace(columns, header=dataclasses.replace(columns.header, target_lang=language))

    check_same_sentences(whole, named(whole, None))  # of German and of no language the same
    with pytest.raises(UserError, match="name the target languages de and zh_CN, whose words"):
        check_same_sentences(whole, named(whole, "zh_CN"))
    shifted = read_columns(runs / "single/german.jsonl")  # without references
    check_same_sentences(shifted, named(shifted, "zh_CN"))


def test_references_for_some_and_a_file_without_sentences(runs: Path, tmp_path: Path) -> None:
    partly = copy_without(runs / "single/test.jsonl", tmp_path / "partly.jsonl", 3, reference=None)
    with pytest.raises(UserError, match="references for 59 of 60 sentences"):
        read_columns(partly)
    empty = tmp_path / "empty.jsonl"
    empty.write_text(partly.read_text("utf-8").split("\n")[0] + "\n", encoding="utf-8")
    with pytest.raises(UserError, match="holds no sentences"):
        read_columns(empty)
