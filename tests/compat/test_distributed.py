"""Several processes: the state of a checkpoint reaches the others when they resume, and Slurm starts them without GPUs."""

import os
import subprocess
from pathlib import Path

import pytest
import torch
from fairseq.dataclass.configs import DistributedTrainingConfig
from fairseq.distributed.utils import infer_init_method
from own_process import python

SCRIPT = """
import sys
import traceback

if "repaired" in sys.argv:
    import ednd_nmt
import torch
from omegaconf import OmegaConf


def main(rank, store):
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    from fairseq.distributed import utils

    state = {"cfg": OmegaConf.create({"lr": [0.1]}), "model": {"weight": torch.arange(3.0)}, "epoch": 4}
    try:
        received = utils.broadcast_object(
            state if rank == 0 else None, src_rank=0, group=torch.distributed.group.WORLD
        )
    except Exception:
        traceback.print_exc()  # here, since of two processes that fail only the first is shown: the other one, perhaps
        raise
    assert received["cfg"] == state["cfg"], received
    assert received["epoch"] == 4
    assert torch.equal(received["model"]["weight"], torch.arange(3.0))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()  # else gloo's threads may abort a process that ends


if __name__ == "__main__":
    torch.multiprocessing.spawn(main, (sys.argv[1],), nprocs=2)
"""


def run(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    return python(script, tmp_path / "store", *arguments)


@pytest.mark.slow(seconds=10)
def test_a_state_with_settings_reaches_every_process(tmp_path: Path) -> None:
    result = run(tmp_path, "repaired")
    assert result.returncode == 0, result.stderr


@pytest.mark.slow(seconds=10)
def test_without_the_repair_it_is_refused(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result.returncode != 0
    assert "Weights only load failed" in result.stderr or "mutable default" in result.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
def test_slurm_starts_a_second_task_on_a_node_without_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What srun tells its tasks; see tests/system/test_slurm_training.py for the real one."""
    scontrol = tmp_path / "scontrol"
    scontrol.write_text("#!/bin/sh\necho node1\necho node2\n")
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    for name, value in {
        "STEP_NODELIST": "node[1-2]", "NNODES": "2", "NTASKS": "4", "PROCID": "3", "LOCALID": "1", "NODEID": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"SLURM_{name}", value)
    config = DistributedTrainingConfig(distributed_world_size=4, distributed_port=12345, tpu=False)
    infer_init_method(config)
    assert config.distributed_init_method == "tcp://node1:12345"
    assert (config.distributed_rank, config.device_id, config.distributed_no_spawn) == (3, 0, True)
