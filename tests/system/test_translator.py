"""Raw text through a model folder: the Python interface and the commands over it."""

from __future__ import annotations

import gc
import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from jsonschema import Draft202012Validator
from toy_reversal import ToyReversal

from ednd_nmt.cli import main
from ednd_nmt.errors import UserError
from ednd_nmt.evaluation.calibration import Calibration
from ednd_nmt.model_folder import Preparation, pack
from ednd_nmt.records import json_schema, read_records
from ednd_nmt.translator import DirichletTransformer

LINES = ["a b c d", "", "e f", "p o n m l", "a", "h g f e d c b"]


@pytest.fixture(scope="module")
def folder(toy: ToyReversal, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder around a checkpoint of the real ``fairseq-train``."""
    checkpoint = toy.train(
        "translator", "--arch", "transformer", "--criterion", "label_smoothed_cross_entropy", updates=20
    )
    dictionaries = [toy.data / "dict.src.txt", toy.data / "dict.tgt.txt"]
    output = tmp_path_factory.mktemp("models") / "student"
    pack(checkpoint, dictionaries, None, Preparation("src", "tgt", pieces=False), output)
    return output


@pytest.fixture(scope="module")
def model(folder: Path) -> DirichletTransformer:
    return DirichletTransformer.from_pretrained(folder)


def command(name: str, *arguments: str | Path, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ednd_nmt", name, *map(str, arguments)],
        input=text,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.slow
def test_nothing_is_kept_of_the_lines_before(model: DirichletTransformer) -> None:
    def tensors() -> int:
        gc.collect()
        return sum(isinstance(found, torch.Tensor) for found in gc.get_objects())

    lines = model.translate_lines(["a b c"] * 60, buffer=2)
    early, late = [tensors() for number, _ in enumerate(lines) if number in (19, 59)]
    assert late < early + 20


@pytest.mark.slow
def test_order_and_measures_do_not_depend_on_the_batch(model: DirichletTransformer) -> None:
    together = model.translate(LINES, uncertainty=True)
    alone = [model.translate([line], uncertainty=True)[0] for line in LINES]
    assert [sentence.source for sentence in together] == LINES
    assert [sentence.text for sentence in together] == [sentence.text for sentence in alone]
    assert together[1].text == ""
    assert set(together[1].measures.values()) == {0.0}
    for ours, theirs in zip(together, alone, strict=True):
        assert ours.measures == pytest.approx(theirs.measures, abs=1e-5)
    assert model.translate(LINES) == [sentence.text for sentence in together]


@pytest.mark.slow
def test_scoring_a_translation_gives_what_the_search_saw(model: DirichletTransformer) -> None:
    found = [s for s in model.translate(LINES, uncertainty=True, beam=3) if s.source]
    scored = model.score([s.source for s in found], [s.text for s in found])
    for ours, theirs in zip(found, scored, strict=True):
        assert theirs.text == ours.text
        assert theirs.measures == pytest.approx(ours.measures, abs=1e-5)


@pytest.mark.slow
def test_the_command_prints_what_the_interface_returns(folder: Path, model: DirichletTransformer) -> None:
    process = command("translate", "--model", folder, "--format", "jsonl", text="\n".join(LINES) + "\n")
    assert process.returncode == 0, process.stderr
    header, *records = map(json.loads, io.StringIO(process.stdout))
    for line in (header, *records):
        Draft202012Validator(json_schema()).validate(line)
    assert [record["hypotheses"][0]["text"] for record in records] == model.translate(LINES)
    assert "sentences in" in process.stderr


@pytest.mark.slow
def test_scored_records_are_valid_by_the_schema(folder: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("a b c\n\nd e\n")
    target.write_text("c b a\n\n\n")
    for models in (folder, f"{folder}:{folder}"):
        process = command(
            "score", "--model", models, "--format", "jsonl", "--source", source, "--target", target
        )
        lines = process.stdout.splitlines()
        assert len(lines) == 4, process.stderr
        for line in lines:
            Draft202012Validator(json_schema()).validate(json.loads(line))


@pytest.mark.slow
def test_acting_while_translating_is_acting_on_the_file(folder: Path, tmp_path: Path) -> None:
    """Reranked, calibrated and abstained on in a stream: the records that ``ednd-nmt rerank`` makes afterwards."""
    calibrator = tmp_path / "calibration.json"
    calibrator.write_text(Calibration(("TU",), (1.0,), (1.0,), (1.0,), 0.0, "bleu", 30.0, 10).to_json())
    translate = ["--model", str(folder), "--nbest", "3", "--format", "jsonl", "--output"]
    options = ["--measure", "disagreement", "--penalty", "20", "--abstain-above", "0.3", "--calibrator"]
    options.append(str(calibrator))
    text = "\n".join(LINES) + "\n"
    plain, acted, afterwards = (tmp_path / name for name in ("plain", "acted", "afterwards"))
    for process in (
        command("translate", *translate, plain, text=text),
        command("translate", *translate, acted, *options, text=text),
        command("rerank", plain, "--output", afterwards, *options),
    ):
        assert process.returncode == 0, process.stderr
    (header, streamed), (expected_header, expected) = read_records(acted), read_records(afterwards)
    assert header == expected_header
    assert header.decision == "rerank[disagreement*20],abstain[disagreement>0.3]"
    _, before = read_records(plain)
    found = list(streamed)
    for ours, theirs in zip(found, expected, strict=True):
        assert [h.text for h in ours.hypotheses] == [h.text for h in theirs.hypotheses]
        assert ours.abstained == theirs.abstained
        assert ours.measures == pytest.approx(theirs.measures, abs=1e-6)
    assert [sentence.text for sentence in found] != [sentence.text for sentence in before]
    assert {sentence.abstained for sentence in found} == {True, False}


@pytest.mark.slow
def test_scoring_can_tell_the_probability_of_a_bad_translation(folder: Path, tmp_path: Path) -> None:
    calibrator, source, target = (tmp_path / name for name in ("calibration.json", "source", "target"))
    calibrator.write_text(Calibration(("sTU",), (1.0,), (1.0,), (1.0,), 0.0, "bleu", 30.0, 10).to_json())
    source.write_text("a b c\n")
    target.write_text("c b a\n")
    files = ("--source", source, "--target", target, "--calibrator", calibrator)
    process = command("score", "--model", folder, *files)
    uncertainty, probability, text = process.stdout.split("\t")
    assert text == "c b a\n"
    assert float(probability) == pytest.approx(1 / (1 + math.exp(1 - float(uncertainty))), abs=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--abstain-share", "0.1"], "known only at its end"),
        (["--decision", "missing.json"], "Cannot read missing.json"),
    ],
)
def test_what_a_stream_cannot_have_is_said_before_the_model_is_loaded(
    capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["translate", "--model", "none", *options]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_a_sentence_beyond_the_positions_is_one_sentence_and_no_file(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.txt"
    process = command(
        "translate", "--model", folder, "--output", output, text="a b\n" + "a " * 100_000 + "\n"
    )
    assert process.returncode == 2
    assert "line 2 has 100,001 pieces" in process.stderr
    assert "Traceback" not in process.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_combination_of_several_models_is_chosen(folder: Path) -> None:
    """A model with itself says what it says alone, in either combination; a single one has nothing to combine."""
    found = {}
    for combination in ("pe", "ep"):
        twice = DirichletTransformer.from_pretrained(f"{folder}:{folder}", combination=combination)
        assert twice.header().combination == combination
        found[combination] = twice.translate(LINES, uncertainty=True)
    for pe, ep in zip(found["pe"], found["ep"], strict=True):
        assert pe.text == ep.text
        assert pe.measures == pytest.approx(ep.measures, abs=1e-5)
    with pytest.raises(UserError, match="needs several models"):
        DirichletTransformer.from_pretrained(folder, combination="ep")


def test_unequal_numbers_of_sources_and_translations_are_refused(model: DirichletTransformer) -> None:
    with pytest.raises(UserError, match="2 sources and 1 translations"):
        model.score(["a", "b"], ["a"])


@pytest.mark.slow
def test_killed_at_any_moment_the_next_run_ends_with_the_same_bytes(
    folder: Path, toy: ToyReversal, tmp_path: Path
) -> None:
    script = Path(__file__).parents[2] / "scripts" / "check_crash_safety.py"
    process = subprocess.run(
        [
            sys.executable, script, "--model", folder, "--source", toy.folder / "test.src",
            "--target", toy.folder / "test.tgt", "--folder", tmp_path, "--stages", "translate,shift", "--kills", "2",
        ],
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert process.returncode == 0, process.stdout + process.stderr
    assert "translate: the same 1 files" in process.stdout
    assert "shift: the same 4 files" in process.stdout
