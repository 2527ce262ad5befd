"""Anything at all as input: the parsers give what is there or one sentence, and never anything else."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from generated_records import JSON_VALUES, TEXT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ednd_nmt.cli import main
from ednd_nmt.decisions import read_decision
from ednd_nmt.errors import UserError
from ednd_nmt.evaluation import shift
from ednd_nmt.evaluation.calibration import Calibration, read_calibration
from ednd_nmt.evaluation.inputs import find_inputs
from ednd_nmt.model_folder import read_model_folders
from ednd_nmt.record_reader import read_records
from ednd_nmt.text_input import paired_lines, text_lines

MANY = settings(deadline=None, max_examples=200)

PIECES = st.sampled_from(
    [
        b"\n",
        b"\r\n",
        b"\r",
        b"\0",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\xfc",
        "ü\u2028".encode(),
        b"a b",
        b"{}",
        b'"',
        b" ",
    ]
)
BYTES = st.lists(PIECES | st.binary(max_size=8), max_size=8).map(b"".join)
"""What files hold that somebody takes for text."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


def one_sentence(error: UserError) -> bool:
    return len(str(error)) > 10 and "\n" not in str(error)


def is_text(data: bytes) -> bool:
    try:
        return "\0" not in data.decode()
    except UnicodeDecodeError:
        return False


@MANY
@given(BYTES)
def test_text(data: bytes) -> None:
    """Every line in its place, with nothing added and nothing lost but line ends and the first byte order mark."""
    if is_text(data):
        lines = list(text_lines(io.BytesIO(data), "the text"))
        assert len(lines) == data.count(b"\n") + (not data.endswith(b"\n") and data != b"")
        again = "\n".join(lines).encode()
        assert again.replace(b"\r", b"") == data.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n").replace(
            b"\r", b""
        )
    else:
        with pytest.raises(UserError, match="of the text"):
            list(text_lines(io.BytesIO(data), "the text"))


@MANY
@given(st.lists(TEXT, max_size=4), st.lists(TEXT, max_size=4))
def test_two_texts(first: list[str], second: list[str]) -> None:
    if len(first) == len(second):
        assert list(paired_lines(first, second, ("a", "b"))) == list(zip(first, second, strict=True))
    else:
        with pytest.raises(UserError, match=f"a has {len(first)} lines and b {len(second)};"):
            list(paired_lines(first, second, ("a", "b")))


@MANY
@given(BYTES)
def test_no_such_bytes_are_an_uncertainty_file(folder: Path, data: bytes) -> None:
    path = folder / "bytes.jsonl"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"bytes\.jsonl, line 1: ") as caught:
        read_records(path)
    assert one_sentence(caught.value)


def calibration() -> dict[str, Any]:
    record = Calibration(("sTU",), (0.5,), (1.0,), (2.0,), 0.1, "bleu", 30.0, 100)
    return dict(json.loads(record.to_json()))


@MANY
@given(st.data())
def test_calibrations_and_decisions(folder: Path, data: st.DataObject) -> None:
    """A value replaced by any other: refused when it is read, or fit for use."""
    record = calibration()
    record[data.draw(st.sampled_from(sorted(record)))] = data.draw(JSON_VALUES)
    path = folder / "calibration.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    try:
        probability = read_calibration(path).probability(
            {"sTU": [0.0, 1.0], **dict.fromkeys(record["measures"], 0.0)}
        )
        assert bool(((probability >= 0) & (probability <= 1)).all())
    except UserError as error:
        if not one_sentence(error):
            raise
    with pytest.raises(UserError):
        read_decision(path)


@MANY
@given(
    JSON_VALUES
    | st.dictionaries(st.sampled_from(["format", "version", "source_lang", "pieces"]), JSON_VALUES)
)
def test_no_such_value_describes_a_model_folder(folder: Path, value: Any) -> None:
    (folder / "model.json").write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(UserError, match=r"ednd-nmt pack|must have") as caught:
        read_model_folders(folder)
    assert one_sentence(caught.value)


NAMES = st.sampled_from(
    ["", "=", ":", "a", "a=", "=a", "a:b=", "a:b=x", ".", "a=.", "/", "\0", "x" * 300, "=" * 3]
)


@MANY
@given(st.lists(NAMES | TEXT, max_size=3), st.lists(NAMES | TEXT, max_size=2))
def test_names_of_systems(systems: list[str], files: list[str]) -> None:
    try:
        find_inputs(systems, files)
    except UserError as error:
        if not str(error):
            raise


@MANY
@given(TEXT, st.floats(0, 1))
def test_shifted_lines_are_lines_again(text: str, rate: float) -> None:
    line = text.replace("\n", " ")
    for shifted in (
        shift.permute_words(line), shift.permute_pieces(line), shift.as_spoken(line), shift.with_typos(line, rate)
    ):  # fmt: skip
        assert "\n" not in shifted
    assert sorted(shift.permute_words(line).split()) == sorted(line.split())


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["evaluate", "report", "shift", "calibrate"]), BYTES)
def test_commands(folder: Path, capsys: pytest.CaptureFixture[str], command: str, data: bytes) -> None:
    """Exit status 2 and one sentence; nothing is written. Text is shifted, where that changes it."""
    path, output = folder / "input", folder / "output"
    path.write_bytes(data)
    options = [] if command == "evaluate" else ["--output", str(output)]
    status = main([command, str(path), *options])
    said = capsys.readouterr().err
    text = command == "shift" and is_text(data) and data.decode("utf-8-sig").strip()
    if text and "No shifted set can be made" not in said:
        assert status == 0
        assert 1 <= len(list(output.iterdir())) <= 3
    else:
        assert status == 2
        assert said.startswith("error: ")
        assert said.count("\n") == 1
    if output.is_dir():
        for made in output.iterdir():
            made.unlink()
        output.rmdir()
    assert not output.exists()
