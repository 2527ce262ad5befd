"""A student trained from stored targets is the student trained beside the members."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from toy_reversal import ToyReversal

pytestmark = pytest.mark.slow

STUDENT = ("--criterion", "rkl_dirichlet_proxy_distillation", "--dropout", "0", "--seed", "7")
LANGUAGES = ("--source-lang", "src", "--target-lang", "tgt")


@pytest.fixture(scope="module")
def trained(toy: ToyReversal) -> ToyReversal:
    toy.members = []
    for seed in (1, 2):
        toy.members.append(
            toy.train(f"stored-member{seed}", "--arch", "transformer", "--criterion", "cross_entropy", "--seed", str(seed),
                      updates=20)
        )  # fmt: skip
    return toy


def store(toy: ToyReversal, output: Path, *arguments: str) -> Path:
    toy.run(
        "store", toy.data, *LANGUAGES, "--ensemble-paths", ":".join(map(str, toy.members)), "--cpu", "--output", output,
        *arguments,
    )  # fmt: skip
    return output


def weights(checkpoint: Path) -> torch.Tensor:
    state = torch.load(checkpoint, weights_only=False)["model"]
    return torch.cat([value.flatten() for name, value in sorted(state.items()) if value.is_floating_point()])


def test_the_same_student_without_its_members(trained: ToyReversal, tmp_path: Path) -> None:
    """With every class kept only float16 and the order of sums differ."""
    targets = store(trained, tmp_path / "targets.h5", "--top-k", "32", "--max-tokens", "300")
    online = trained.train_student("online", *STUDENT, updates=5)
    from_file = trained.train(
        "from-file", "--task", "distillation", "--stored-targets", targets, "--arch", "dirichlet_transformer", *STUDENT,
        "--num-workers", "1", updates=5,
    )  # fmt: skip
    first, second = weights(online), weights(from_file)
    start = weights(trained.train_student("start", *STUDENT, "--lr", "0", updates=1))
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


def test_storing_goes_on_where_it_was_killed(trained: ToyReversal, tmp_path: Path) -> None:
    """``kill -9`` after the first part of the sentences, before the second counts."""
    options = ("--top-k", "4", "--max-tokens", "100", "--subsets", "train")
    whole = store(trained, tmp_path / "whole.h5", *options)
    targets = tmp_path / "targets.h5"
    command = ["store", trained.data, *LANGUAGES, "--ensemble-paths", ":".join(map(str, trained.members)), "--cpu",
               "--output", targets, *options]  # fmt: skip
    words = list(map(str, command))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_AT_THE_SECOND_COMMIT, *words], capture_output=True, env=environment
    )
    assert killed.returncode == -signal.SIGKILL
    assert not targets.exists()
    again = subprocess.run(
        [sys.executable, "-m", "ednd_nmt", *words], capture_output=True, text=True, env=environment
    )
    assert again.returncode == 0, again.stderr[-2000:]
    news = [line for line in again.stderr.splitlines() if "sentences" in line]
    assert news == [f"going on after the 2,048 sentences in {targets}.partial", "4040/4040 sentences"]
    with h5py.File(whole) as expected, h5py.File(targets) as found:
        for name in ("train/rows", "train/offsets", "tail/probability", "tail/log_probability"):
            assert np.array_equal(found[name][:], expected[name][:])


def sentence_of(toy: ToyReversal, command: str, *arguments: str | Path) -> str:
    process = subprocess.run(
        [sys.executable, "-m", "ednd_nmt", command, toy.data, *LANGUAGES, *map(str, arguments)],
        capture_output=True, text=True, cwd=toy.folder,
    )  # fmt: skip
    assert process.returncode == 2, process.stderr[-2000:]
    assert "Traceback" not in process.stderr
    return process.stderr.strip().splitlines()[-1]


def test_what_does_not_fit_is_refused(trained: ToyReversal, tmp_path: Path) -> None:
    members = ":".join(map(str, trained.members))
    output = tmp_path / "targets.h5"
    options = ("--ensemble-paths", members, "--output", output, "--cpu")
    assert "has no set nothing" in sentence_of(trained, "store", *options, "--subsets", "nothing")
    assert "from 1 to the vocabulary's size" in sentence_of(trained, "store", *options, "--top-k", "1000")
    for few in ("3", "-1"):
        said = sentence_of(trained, "store", *options, "--max-tokens", few)
        assert f"--max-tokens is {few}, but a sentence of train has " in said
    assert not list(tmp_path.iterdir())

    only_valid = store(trained, output, "--subsets", "valid", "--top-k", "8")
    training = ("--task", "distillation", "--arch", "dirichlet_transformer_tiny", "--optimizer", "adam", "--max-tokens",
                "500", "--cpu", "--save-dir", tmp_path / "refused", "--stored-targets", only_valid, *STUDENT)  # fmt: skip
    assert "has none of it" in sentence_of(trained, "train", *training)
    assert "leave out --ensemble-paths" in sentence_of(
        trained, "train", *training, "--ensemble-paths", members
    )
    assert "no file of stored targets" in sentence_of(
        trained, "train", *training, "--stored-targets", "nowhere.h5"
    )
