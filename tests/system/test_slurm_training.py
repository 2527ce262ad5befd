"""A student trained by two tasks of a real Slurm, where that is installed, is the student of one process."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from toy_reversal import ToyReversal

from scripts.local_slurm import PATH, PROGRAMS, free_port

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(shutil.which(name, path=PATH) is None for name in PROGRAMS), reason="Slurm is not installed"
    ),
]


def test_srun_trains_the_student_of_one_process(toy: ToyReversal, tmp_path: Path) -> None:
    """Each update has the gradient of the same two batches: one of either task, or two of one process."""
    member = toy.train("slurm-member", "--arch", "transformer", "--criterion", "cross_entropy", updates=2)
    options = [
        str(toy.data), "--source-lang", "src", "--target-lang", "tgt", "--task", "distillation",
        "--ensemble-paths", f"{member}:{member}", "--criterion", "rkl_dirichlet_proxy_distillation", "--seed", "7",
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
    result = subprocess.run(
        [sys.executable, "-m", "scripts.local_slurm", "--cpus", "2", "--", "srun", "--ntasks", "2", *train],
        capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
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
