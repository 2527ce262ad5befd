"""A full disk, a place that takes no file, a reader that has gone: one sentence, and nothing half-written."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from full_disk import full_disk
from own_process import PATIENCE

from ednd_nmt.cli import main

TEXT = Path(__file__).resolve().parents[1] / "LICENSE"
FEW = ["--resamples", "20"]
COMMANDS: dict[str, Callable[[Path, Path], list[str]]] = {
    "evaluate --json": lambda runs, out: ["evaluate", f"{runs}/student", *FEW, "--json", str(out / "o")],
    "evaluate --markdown": lambda runs, out: [
        "evaluate",
        f"{runs}/student",
        *FEW,
        "--markdown",
        str(out / "o"),
    ],
    "evaluate --report": lambda runs, out: ["evaluate", f"{runs}/student", *FEW, "--report", str(out / "o")],
    "report": lambda runs, out: ["report", f"{runs}/student", *FEW, "--output", str(out / "o")],
    "shift": lambda runs, out: ["shift", str(TEXT), "--output", str(out)],
    "calibrate": lambda runs, out: ["calibrate", f"{runs}/student/test.jsonl", "--output", str(out / "o")],
    "fit": lambda runs, out: ["fit", f"{runs}/ensemble/test.jsonl", *FEW, "--output", str(out / "o")],
    "rerank": lambda runs, out: [
        *["rerank", f"{runs}/ensemble/test.jsonl", "--penalty", "1", "--measure", "MI"],
        *["--output", str(out / "o")],
    ],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Exit status 1, the file named; a file that was there before stays, and no other appears."""
    old = tmp_path / ("words" if name == "shift" else "o")
    old.write_text("old", encoding="utf-8")
    with full_disk(100):
        status = main(COMMANDS[name](runs, tmp_path))
    error = capsys.readouterr().err
    assert status == 1, error
    assert error.strip().splitlines()[-1] == f"error: {old}: File too large"
    assert "Traceback" not in error
    assert [path.name for path in tmp_path.iterdir()] == [old.name]
    assert old.read_text(encoding="utf-8") == "old"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_place_that_takes_no_file(runs: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Nobody, root included, may make one in these folders of the system."""
    status = main(COMMANDS[name](runs, Path("/proc/ednd")))
    error = capsys.readouterr().err
    assert status == 2
    assert error.startswith("error: Cannot write /proc/ednd/")
    assert error.endswith("; choose another output path.\n")
    assert error.count("\n") == 1


def ednd_nmt(words: list[str], stdout: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ednd_nmt", *words], text=True, stdout=stdout, stderr=subprocess.PIPE
    )


@pytest.mark.slow
def test_what_is_printed_finds_no_room_or_no_reader(runs: Path) -> None:
    words = ["evaluate", f"{runs}/student", *FEW]
    with open("/dev/full", "w") as full:
        process = ednd_nmt(words, full.fileno())
        assert process.communicate(timeout=PATIENCE)[1] == "error: standard output: No space left on device\n"
    assert process.returncode == 1
    process = ednd_nmt(words, subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.communicate(timeout=PATIENCE)[1] == ""
    assert process.returncode == 1
    closed = subprocess.run(  # from the beginning
        ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "ednd_nmt", *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (closed.returncode, closed.stderr) == (0, "")
