"""A student trained by two tasks of a real Slurm, where that is installed, is the student of one process."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest
import torch
from needs_slurm import needs_slurm
from own_process import python
from toy_reversal import ToyReversal
from training import member

from scripts.local_slurm import free_port

pytestmark = [pytest.mark.slow, needs_slurm]


def test_srun_trains_the_student_of_one_process(toy: ToyReversal, tmp_path: Path) -> None:
    """Each update has the gradient of the same two batches: one of either task, or two of one process."""
    model = member(toy.data, tmp_path / "member.pt")
    options = [
        str(toy.data), "--source-lang", "src", "--target-lang", "tgt", "--task", "distillation",
        "--ensemble-paths", f"{model}:{model}", "--criterion", "rkl_dirichlet_proxy_distillation", "--seed", "7",
        "--arch", "dirichlet_transformer", "--encoder-layers", "1", "--decoder-layers", "1", "--encoder-embed-dim", "16",
        "--encoder-ffn-embed-dim", "32", "--encoder-attention-heads", "2", "--decoder-attention-heads", "2",
        "--share-all-embeddings", "--dropout", "0", "--optimizer", "sgd", "--lr", "0.1", "--max-tokens", "300",
        "--max-update", "4", "--no-epoch-checkpoints", "--cpu", "--num-workers", "0",
        "--required-batch-size-multiple", "1",
    ]  # fmt: skip
    toy.run("train", *options, "--update-freq", "2", "--save-dir", tmp_path / "one")

    with free_port() as port:  # by which the tasks find each other
        pass
    train = [sys.executable, "-m", "ednd_nmt", "train", *options, "--save-dir", str(tmp_path / "two"),
             "--distributed-world-size", "2", "--distributed-port", str(port), "--distributed-backend", "gloo",
             "--ddp-backend", "legacy_ddp"]  # fmt: skip
    result = python("-m", "scripts.local_slurm", "--cpus", "2", "--", "srun", "--ntasks", "2", *train)
    assert result.returncode == 0, f"{shlex.join(train)}\n{result.stderr[-3000:]}"
    ranks = re.findall(r"initialized host \S+ as rank (\d)", result.stdout + result.stderr)
    assert sorted(ranks) == ["0", "1"]
    one, two = (
        torch.load(tmp_path / name / "checkpoint_last.pt", weights_only=False) for name in ("one", "two")
    )
    updates = [checkpoint["optimizer_history"][-1]["num_updates"] for checkpoint in (one, two)]
    assert updates == [4, 4]
    for name, parameter in one["model"].items():
        torch.testing.assert_close(two["model"][name], parameter, rtol=1e-4, atol=1e-6, msg=name)
