"""The quick start's script, without the making of its environment; Snakemake plans its jobs and does not run them."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from miniature_workflow import MINIATURE, needs_snakemake, snakemake
from own_process import PATIENCE

ROOT = Path(__file__).resolve().parents[2]

# Making an environment takes minutes: in its place stands the one of the tests, where Snakemake plans.
INSTALL = f"""
mkdir -p "$1/bin"
cat >"$1/bin/python" <<'END'
#!/bin/bash
[ "$1 $2" != "-m snakemake" ] || {{ printf '%s\\n' "$@" >planned; set -- "$@" --dry-run; }}
exec {shlex.quote(sys.executable)} "$@"
END
chmod +x "$1/bin/python"
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose profile is the miniature; what it does not change is this one's."""
    folder = tmp_path / "checkout"
    (folder / "scripts").mkdir(parents=True)
    (folder / "ednd_nmt").symlink_to(ROOT / "ednd_nmt")
    for path in (ROOT / "scripts").iterdir():
        (folder / "scripts" / path.name).symlink_to(path)
    for name in ("quickstart.sh", "install.sh"):
        (folder / "scripts" / name).unlink()
    shutil.copy(ROOT / "scripts" / "quickstart.sh", folder / "scripts")
    (folder / "scripts" / "install.sh").write_text(INSTALL)
    (folder / "examples" / "debian_ende" / "config").mkdir(parents=True)
    (folder / "examples" / "debian_ende" / "Snakefile").symlink_to(
        ROOT / "examples" / "debian_ende" / "Snakefile"
    )
    return folder


def quickstart(
    checkout: Path, *arguments: str, profile: str = MINIATURE, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the script of a checkout with ``profile`` as the profile ``mine``, in a folder whose results are there."""
    (checkout / "examples" / "debian_ende" / "config" / "mine.yaml").write_text(profile, encoding="utf-8")
    (checkout / "runs" / "mine").mkdir(parents=True, exist_ok=True)
    (checkout / "runs" / "mine" / "table.txt").write_text("the table\n")
    return subprocess.run(
        ["bash", "scripts/quickstart.sh", "--profile", "mine", *arguments],
        cwd=checkout, env={**os.environ, "EDND_NMT_VENV": ".venv", **environment},
        capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip


@pytest.mark.parametrize("value", ["2.5", "three", "0", '"2"', ""])
def test_a_profile_with_no_number_of_members_is_refused(checkout: Path, value: str) -> None:
    profile = MINIATURE.replace("members: 2\n", f"members: {value}  # how many\n")
    assert profile != MINIATURE
    result = quickstart(checkout, profile=profile)
    file = checkout / "examples" / "debian_ende" / "config" / "mine.yaml"
    assert result.returncode == 2
    assert result.stderr == (
        f"error: members in {file} needs a whole number from 1, not {value or 'nothing'}.\n"
    )


def test_a_number_of_members_that_is_none_is_refused(checkout: Path) -> None:
    result = quickstart(checkout, "--members", "2.5")
    assert result.returncode == 2
    assert result.stderr == "error: --members needs a whole number from 1, not 2.5.\n"


@needs_snakemake
@pytest.mark.slow
def test_jobs_share_the_cores_and_the_memory_of_the_machine(checkout: Path) -> None:
    """Whatever the number of threads that a job may have."""
    result = quickstart(checkout, OMP_NUM_THREADS="1", OMP_THREAD_LIMIT="1")
    assert result.returncode == 0, result.stderr
    planned = (checkout / "planned").read_text(encoding="utf-8").splitlines()
    assert planned[planned.index("--cores") + 1] == str(len(os.sched_getaffinity(0)))
    memory = next(word for word in planned if word.startswith("mem_mb=")).partition("=")[2]
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    assert 0 < int(memory) < total


@needs_snakemake
@pytest.mark.slow
def test_a_finished_run_says_how_to_translate_text_of_ones_own(checkout: Path) -> None:
    result = quickstart(checkout, "--out", "runs/a folder")
    assert result.returncode == 1  # nothing has made its results
    shutil.copytree(checkout / "runs" / "mine", checkout / "runs" / "a folder", dirs_exist_ok=True)
    result = quickstart(checkout, "--out", "runs/a folder")
    assert result.returncode == 0, result.stderr
    command = result.stdout.splitlines()[-1].partition("your own text")[2]
    words = [".venv/bin/ednd-nmt", "translate", "--model", "runs/a folder/student", "<", "your.txt"]
    assert shlex.split(command) == words


@needs_snakemake
@pytest.mark.slow
def test_a_job_that_asks_for_more_memory_than_there_is_gets_all_of_it(tmp_path: Path) -> None:
    (tmp_path / "miniature.yaml").write_text(MINIATURE, encoding="utf-8")
    result = snakemake(tmp_path, tmp_path / "miniature.yaml", "--dry-run", "--resources", "mem_mb=1500")
    assert result.returncode == 0, result.stderr
    plan = result.stdout + result.stderr
    asked = set(map(int, re.findall(r"^    resources: .*\bmem_mb=(\d+)", plan, re.MULTILINE)))
    assert asked == {1000, 1500}
