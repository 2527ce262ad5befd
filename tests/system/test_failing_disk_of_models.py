"""Where models and translations are written: a full disk is one sentence, and no file is seen half-written."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from full_disk import NO_BYTECODE, bound, full_disk
from own_process import python
from toy_reversal import ToyReversal
from training import Training, member

from ednd_nmt.cli import main
from ednd_nmt.model_folder import Preparation, pack

NO_WORKERS = ("--num-workers", "0")  # their shared memory would be as full as the disk
LANGUAGES = ["--source-lang", "src", "--target-lang", "tgt"]


@pytest.fixture(scope="module")
def checkpoint(toy: ToyReversal, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "checkpoint.pt"
    Training(toy.data).save(path)
    member(toy.data, path.with_name("member.pt"))
    return path


@pytest.fixture(scope="module")
def folder(toy: ToyReversal, checkpoint: Path) -> Path:
    """A model folder."""
    dictionaries = [toy.data / "dict.src.txt", toy.data / "dict.tgt.txt"]
    output = checkpoint.parent / "packed"
    pack(checkpoint, dictionaries, None, Preparation("src", "tgt", pieces=False), output)
    return output


def packing(weights: str, toy: ToyReversal, checkpoint: Path, out: Path) -> list[str]:
    words = ["pack", "--checkpoint", str(checkpoint), "--data", str(toy.data), "--output", str(out)]
    return [*words, "--weights", weights, *LANGUAGES]


def translating(toy: ToyReversal, checkpoint: Path, out: Path) -> list[str]:
    words = ["translate", "--model", str(checkpoint.parent / "packed"), "--quiet", "--format", "jsonl"]
    return [*words, "--input", str(toy.folder / "test.src"), "--beam", "1", "--output", str(out / "o")]


def scoring(toy: ToyReversal, checkpoint: Path, out: Path) -> list[str]:
    texts = ["--source", str(toy.folder / "test.src"), "--target", str(toy.folder / "test.tgt")]
    return [
        "score",
        "--model",
        str(checkpoint.parent / "packed"),
        "--quiet",
        *texts,
        "--output",
        str(out / "o"),
    ]


def storing(toy: ToyReversal, checkpoint: Path, out: Path) -> list[str]:
    words = ["store", str(toy.data), *LANGUAGES, "--subsets", "test", "--top-k", "4", "--cpu"]
    return [*words, "--ensemble-paths", str(checkpoint.parent / "member.pt"), "--output", str(out / "o")]


COMMANDS: dict[str, Callable[[ToyReversal, Path, Path], list[str]]] = {
    "translate": translating,
    "score": scoring,
    "store": storing,
    **{f"pack {weights}": partial(packing, weights) for weights in ("copy", "safetensors", "checkpoint")},
}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk(
    toy: ToyReversal, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    with full_disk():
        status = main(COMMANDS[name](toy, checkpoint, tmp_path))
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert status == 1
    assert error.startswith(f"error: {tmp_path}/")
    assert "File too large" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("place", ["/proc", "/proc/ednd"], ids=["a folder", "none"])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_place_that_takes_no_file(
    toy: ToyReversal, checkpoint: Path, capsys: pytest.CaptureFixture[str], name: str, place: str
) -> None:
    """Nobody, root included, may make a file or a folder in this one of the system."""
    status = main(COMMANDS[name](toy, checkpoint, Path(place)))
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert status == 2, error
    assert re.fullmatch(rf"error: Cannot write (to )?{place}\S*: [A-Z][\w ]+; choose another [\w ]+\.", error)


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """``ednd-nmt`` in a process of its own whose disk is full."""
    return python("-m", "ednd_nmt", *words, environment=NO_BYTECODE, preparation=bound)


@pytest.mark.slow(seconds=16)
def test_a_full_disk_under_fairseqs_commands(toy: ToyReversal, checkpoint: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    generated = run(
        "generate", toy.data, *LANGUAGES, "--task", "distillation", "--cpu", "--path", checkpoint, "--beam", "1",
        "--gen-subset", "test", "--uncertainty-output", output, *NO_WORKERS,
    )  # fmt: skip
    assert generated.returncode == 1
    assert generated.stderr.strip().splitlines()[-1] == f"error: {output}: File too large"
    assert not output.exists()
    trained = run(
        "train", toy.data, *LANGUAGES, "--arch", "transformer_tiny", "--criterion", "cross_entropy", "--optimizer", "sgd",
        "--lr", "0.1", "--max-tokens", "1000", "--max-update", "1", "--cpu", "--save-dir", tmp_path / "model", *NO_WORKERS,
    )  # fmt: skip
    assert trained.returncode == 1
    assert f"error: {tmp_path}/model/checkpoint" in trained.stderr.strip().splitlines()[-1]
    assert "Traceback" not in trained.stderr
    assert list((tmp_path / "model").glob("*.pt")) == []
