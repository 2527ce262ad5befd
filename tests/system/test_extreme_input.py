"""Nothing to translate, far too much in a line, one token only, one member only, nobody who reads."""

from __future__ import annotations

import logging
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from own_process import PATIENCE
from random_models import RandomModels
from toy_reversal import ToyReversal
from training import Training, member

from ednd_nmt.cli import main
from ednd_nmt.errors import UserError
from ednd_nmt.model_folder import Preparation, pack
from ednd_nmt.record_reader import read_records
from ednd_nmt.teacher import load_teacher
from ednd_nmt.translator import DirichletTransformer


def packed(training: Training, data: Path, folder: Path) -> Path:
    """The student of a training in a model folder."""
    training.save(folder / "checkpoint.pt")
    dictionaries = [data / "dict.src.txt", data / "dict.tgt.txt"]
    pack(
        folder / "checkpoint.pt",
        dictionaries,
        None,
        Preparation("src", "tgt", pieces=False),
        folder / "model",
    )
    return folder / "model"


@pytest.fixture(scope="module")
def folder(toy: ToyReversal, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed(Training(toy.data), toy.data, tmp_path_factory.mktemp("extreme"))


def test_an_empty_text_has_a_translation_without_sentences(folder: Path, tmp_path: Path) -> None:
    text, output = tmp_path / "empty", tmp_path / "out.jsonl"
    text.touch()
    words = ["translate", "--model", str(folder), "--input", str(text), "--quiet", "--format", "jsonl"]
    assert main([*words, "--output", str(output)]) == 0
    header, sentences = read_records(output)
    assert header.system == "student"
    assert list(sentences) == []


@pytest.mark.parametrize(
    ("device", "message"),
    [
        (name, f"Unknown device '{name}'; give cpu")
        for name in ("xpu", "meta", "mps", "cpu:1", "cuda:-1", "", "a\nb")
    ]
    + [("cuda:999", "The device cuda:999 is not there")],
)
def test_a_device_that_is_not_there(folder: Path, device: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message.replace("\n", "\\n"))):
        DirichletTransformer.from_pretrained(folder, device)


def test_a_gpu_beyond_the_last(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match=r"cuda:2 is not there; the last one is cuda:1\.$"):
        DirichletTransformer.from_pretrained(folder, "cuda:2")


def test_targets_of_a_set_without_a_target_side(
    toy: ToyReversal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Training(toy.data, "--arch", "transformer", criterion="forward_kl_mean_distillation").save(
        tmp_path / "m.pt"
    )
    data = tmp_path / "data"
    data.mkdir()
    for file in (*toy.data.glob("dict.*"), *toy.data.glob("test.src-tgt.src.*")):
        (data / file.name).write_bytes(file.read_bytes())
    words = ["store", str(data), "--source-lang", "src", "--target-lang", "tgt", "--subsets", "test", "--cpu"]
    assert main([*words, "--ensemble-paths", str(tmp_path / "m.pt"), "--output", str(tmp_path / "o.h5")]) == 2
    assert f"error: {data} has no tgt side of the set test" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "o.h5").exists()


def test_a_line_of_100_000_characters_keeps_its_place(folder: Path) -> None:
    """One word to this model, which has no pieces; more pieces than positions are refused elsewhere."""
    lines = ["a b", "x" * 100_000, "", "c d"]
    model = DirichletTransformer.from_pretrained(folder)
    found = model.translate(lines, uncertainty=True, max_len_a=0, max_len_b=2)
    assert [sentence.source for sentence in found] == lines
    unknown = model.translate(["y"], uncertainty=True, max_len_a=0, max_len_b=2)[0]
    assert found[1].measures == pytest.approx(unknown.measures, abs=1e-5)


@pytest.mark.slow
def test_a_vocabulary_of_one_token(tmp_path: Path) -> None:
    toy = ToyReversal(tmp_path)
    for split in ("train", "valid", "test", "shifted"):
        for side in ("src", "tgt"):
            (tmp_path / f"{split}.{side}").write_text("".join("a " * n + "a\n" for n in range(8)))
    toy.binarise()
    training = Training(toy.data)
    assert math.isfinite(training.update([0, 3, 7])["loss"])
    model = DirichletTransformer.from_pretrained(packed(training, toy.data, tmp_path))
    for sentence in model.translate(["a a a", "", "b"], uncertainty=True, max_len_b=2):
        assert all(map(math.isfinite, sentence.measures.values()))


def test_one_member_is_told_that_it_never_disagrees(
    toy: ToyReversal, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    member(toy.data, tmp_path / "member.pt")
    task = RandomModels(toy.data).task
    with caplog.at_level(logging.WARNING):
        load_teacher(f"{tmp_path}/member.pt,{tmp_path}/member.pt", task, torch.device("cpu"))
        assert "never disagrees" not in caplog.text
        load_teacher(f"{tmp_path}/member.pt", task, torch.device("cpu"))
    assert "the precision of the target is at its maximum everywhere" in caplog.text


@pytest.mark.slow
def test_translating_for_nobody_is_no_traceback(folder: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "ednd_nmt", "translate", "--model", str(folder), "--quiet"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.close()
    _, error = process.communicate("a b c\n", timeout=PATIENCE)
    assert (process.returncode, error) == (1, "")
