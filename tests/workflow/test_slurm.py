"""The workflow on a real Slurm, where that is installed; see :mod:`scripts.local_slurm`."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]
from miniature_workflow import MINIATURE, own_text
from needs_slurm import needs_slurm
from own_process import python

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, needs_slurm]


def test_nothing_is_left_of_a_slurm_not_even_of_a_job_that_runs(tmp_path: Path) -> None:
    sleep = f"sleep 1{os.getpid():07}"  # of this run of the tests alone
    script = f"""
        dirname $SLURM_CONF
        srun -n2 echo task
        sbatch --parsable --output=/dev/null --wrap='exec {sleep}'
        srun true
        exit 7
    """
    result = python("-m", "scripts.local_slurm", "--cpus", "3", "--", "bash", "-c", script)
    assert result.returncode == 7, result.stderr
    folder, *tasks, job = result.stdout.split()
    assert tasks == ["task", "task"]
    assert job.isdecimal()
    assert not Path(folder).exists()
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # others come and go meanwhile
            commands.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    assert commands
    assert not [command for command in commands if folder in command or sleep in command]


@pytest.mark.skipif(
    importlib.util.find_spec("snakemake_executor_plugin_slurm") is None,
    reason="the extra `slurm` is not installed",
)
def test_a_lost_member_is_trained_on_and_the_others_are_kept(tmp_path: Path) -> None:
    configuration = yaml.safe_load(MINIATURE)
    configuration["member"]["options"].append(
        "--max-update 60 --save-interval-updates 5 --keep-interval-updates 1"
    )
    (tmp_path / "miniature.yaml").write_text(yaml.safe_dump(configuration), encoding="utf-8")
    folder = tmp_path / "run"
    folder.mkdir()
    own_text(folder)
    options = ["--out", folder, "--configfile", tmp_path / "miniature.yaml", "--cpus", "2"]
    result = python("-m", "scripts.check_slurm", *options, folder=ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "check: members/1/model.pt is as it was" in result.stdout
    assert "@ 60 updates" in (folder / "logs" / "member-2.log").read_text(encoding="utf-8")
