"""A student trained from stored targets is the student trained beside the members."""

from __future__ import annotations

import signal
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from own_process import ednd_nmt, python
from toy_reversal import ToyReversal
from training import member

from ednd_nmt.cli import main

pytestmark = pytest.mark.slow

STUDENT = ("--criterion", "rkl_dirichlet_proxy_distillation", "--dropout", "0", "--seed", "7")
LANGUAGES = ("--source-lang", "src", "--target-lang", "tgt")


@pytest.fixture(scope="module")
def members(toy: ToyReversal, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("members")
    toy.members = [member(toy.data, folder / f"{seed}.pt", seed) for seed in (1, 2)]
    return ":".join(map(str, toy.members))


def storing(toy: ToyReversal, members: str, output: Path, *arguments: str) -> list[str]:
    words = ["store", str(toy.data), *LANGUAGES, "--ensemble-paths", members, "--cpu"]
    return [*words, "--output", str(output), *arguments]


def weights(checkpoint: Path) -> torch.Tensor:
    state = torch.load(checkpoint, weights_only=False)["model"]
    return torch.cat([value.flatten() for name, value in sorted(state.items()) if value.is_floating_point()])


@pytest.mark.slow(seconds=28)
def test_the_same_student_without_its_members(toy: ToyReversal, members: str, tmp_path: Path) -> None:
    """With every class kept only float16 and the order of sums differ."""
    targets = tmp_path / "targets.h5"
    assert main(storing(toy, members, targets, "--top-k", "32", "--max-tokens", "300")) == 0
    online = toy.train_student("online", *STUDENT, updates=5)
    from_file = toy.train(
        "from-file", "--task", "distillation", "--stored-targets", targets, "--arch", "dirichlet_transformer", *STUDENT,
        "--num-workers", "1", updates=5,
    )  # fmt: skip
    first, second = weights(online), weights(from_file)
    start = weights(toy.train_student("start", *STUDENT, "--lr", "0", updates=1))
    moved = (first - start).norm()
    assert (first - second).norm() < 0.01 * moved


KILLED_AT_THE_SECOND_COMMIT = """
import os, signal, sys

def watch(event, arguments, journals=[]):
    if event == "os.rename" and str(arguments[1]).endswith(".partial.json"):
        journals.append(arguments[1])
        if len(journals) == 2:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watch)
from ednd_nmt.cli import main
main()
"""


@pytest.mark.slow(seconds=18)
def test_storing_goes_on_where_it_was_killed(toy: ToyReversal, members: str, tmp_path: Path) -> None:
    """``kill -9`` after the first part of the sentences, before the second counts."""
    options = ("--top-k", "4", "--max-tokens", "100", "--subsets", "train")
    whole, targets = tmp_path / "whole.h5", tmp_path / "targets.h5"
    assert main(storing(toy, members, whole, *options)) == 0
    words = storing(toy, members, targets, *options)
    killed = python("-c", KILLED_AT_THE_SECOND_COMMIT, *words)
    assert killed.returncode == -signal.SIGKILL
    assert not targets.exists()
    again = python("-m", "ednd_nmt", *words, environment={"PYTHONWARNINGS": ""})
    assert again.returncode == 0, again.stderr[-2000:]
    assert again.stderr.splitlines() == [
        f"going on after the 2,048 sentences in {targets}.partial",
        "4040/4040 sentences",
    ]  # and nothing of what fairseq, Hydra and PyTorch tell developers
    with h5py.File(whole) as expected, h5py.File(targets) as found:
        for name in ("train/rows", "train/offsets", "tail/probability", "tail/log_probability"):
            assert np.array_equal(found[name][:], expected[name][:])


def test_what_cannot_be_stored_is_refused(
    toy: ToyReversal, members: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def sentence(*arguments: str) -> str:
        assert main(storing(toy, members, tmp_path / "targets.h5", *arguments)) == 2
        return capsys.readouterr().err.strip().splitlines()[-1]

    assert "has no set nothing" in sentence("--subsets", "nothing")
    assert "from 1 to the vocabulary's size" in sentence("--top-k", "1000")
    for few in ("3", "-1"):
        assert f"--max-tokens is {few}, but a sentence of train has " in sentence("--max-tokens", few)
    assert not list(tmp_path.iterdir())


def test_a_member_that_is_not_finite_is_named(
    toy: ToyReversal, members: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One NaN would be in the tail of every token of the file."""
    first, second = members.split(":")
    state = torch.load(second, weights_only=False)
    state["model"]["decoder.layers.0.fc1.weight"][0, 0] = torch.nan
    broken = tmp_path / "broken.pt"
    torch.save(state, broken)
    arguments = storing(
        toy, f"{first}:{broken}", tmp_path / "targets.h5", "--top-k", "4", "--subsets", "valid"
    )
    assert main(arguments) == 2
    sentence = capsys.readouterr().err.strip().splitlines()[-1]
    assert "The batch of valid with the sentences " in sentence
    assert (
        f"has no finite targets, since there is NaN in the logits of ensemble member 2 ({broken}); take the"
        in sentence
    )
    assert {path.name for path in tmp_path.iterdir()} == {"broken.pt"}


@pytest.mark.slow(seconds=12)
def test_parts_of_the_training_set_are_combined_as_in_training(
    toy: ToyReversal, members: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The paper's layout: references as train, the ensemble's translations as train1, --upsample-primary 0."""
    parts = tmp_path / "parts"
    parts.mkdir()
    for file in toy.data.glob("valid.*"):
        (parts / file.name).symlink_to(file)
        (parts / file.name.replace("valid", "train1")).symlink_to(file)
    for file in [*toy.data.glob("dict.*"), *toy.data.glob("test.*")]:
        (parts / file.name.replace("test", "train")).symlink_to(file)
    targets = tmp_path / "targets.h5"
    words = ["store", str(parts), *storing(toy, members, targets, "--top-k", "32")[2:]]
    assert main(words) == 2
    assert "several parts of train" in capsys.readouterr().err.strip().splitlines()[-1]
    training = ["train", str(parts), *LANGUAGES, "--task", "distillation", "--arch", "dirichlet_transformer_tiny", "--cpu",
                "--optimizer", "adam", "--max-tokens", "500", "--max-update", "2", "--num-workers", "0", *STUDENT,
                "--stored-targets", str(targets)]  # fmt: skip
    for times in ("0", "2"):
        assert main([*words, "--upsample-primary", times]) == 0
        assert main([*training, "--upsample-primary", times, "--save-dir", str(tmp_path / times)]) == 0
    assert main([*training, "--upsample-primary", "1", "--save-dir", str(tmp_path / "other")]) == 2
    assert "and the same --upsample-primary" in capsys.readouterr().err.strip().splitlines()[-1]


def test_a_file_that_does_not_fit_is_refused(
    toy: ToyReversal, members: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only_valid = tmp_path / "targets.h5"
    assert main(storing(toy, members, only_valid, "--subsets", "valid", "--top-k", "8")) == 0
    training = ["train", toy.data, *LANGUAGES, "--task", "distillation", "--arch", "dirichlet_transformer_tiny", "--cpu",
                "--optimizer", "adam", "--max-tokens", "500", "--save-dir", tmp_path / "refused", *STUDENT,
                "--max-update", "1", "--stored-targets", only_valid]  # fmt: skip
    process = ednd_nmt(*training)  # as a user sees it
    assert process.returncode == 2, process.stderr[-2000:]
    assert "Traceback" not in process.stderr
    assert "has none of it" in process.stderr.strip().splitlines()[-1]

    def sentence(*arguments: str) -> str:
        assert main([*map(str, training), *arguments]) == 2
        return capsys.readouterr().err.strip().splitlines()[-1]

    assert "leave out --ensemble-paths" in sentence("--ensemble-paths", members)
    assert "no file of stored targets" in sentence("--stored-targets", "nowhere.h5")
    training[1] = f"{toy.data}:{toy.data}"
    assert "those of one folder of data, and there are several" in sentence()


@pytest.mark.slow(seconds=20)
@pytest.mark.parametrize("changed", ["lengths", "tokens"])
def test_other_data_are_refused(toy: ToyReversal, members: str, changed: str, tmp_path: Path) -> None:
    """As many sentences, as if one of them was longer, before any training; or one with another word, when it is read."""
    targets = tmp_path / "targets.h5"
    assert main(storing(toy, members, targets, "--subsets", "valid", "--top-k", "8")) == 0
    with h5py.File(targets, "r+") as file:
        if changed == "lengths":
            file["valid/offsets"][1] += 1
        else:
            # Of the longest sentence: the first batch, of short ones, is read before there are other processes.
            offsets = file["valid/offsets"][:]
            row_number = int(offsets[np.diff(offsets).argmax()])
            row = file["valid/rows"][row_number]
            row["token"] += 1
            file["valid/rows"][row_number] = row
    process = ednd_nmt(
        "train", toy.data, *LANGUAGES, "--task", "distillation", "--arch", "dirichlet_transformer_tiny", "--cpu",
        "--optimizer", "adam", "--max-tokens", "100", "--max-epoch", "1", "--save-dir", tmp_path / "refused", *STUDENT,
        "--stored-targets", targets, "--train-subset", "valid", "--num-workers", "1",
    )  # fmt: skip
    assert process.returncode == 2, process.stderr[-2000:]
    assert "Traceback" not in process.stderr
    assert "were made from other data than the set valid" in process.stderr.strip().splitlines()[-1]
    assert ("dry-run validation" in process.stdout) == (changed == "tokens")
