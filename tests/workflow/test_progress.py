"""The terminal's view of a stage, from lines as fairseq logs them, and the stage's process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.workflow import progress
from scripts.workflow.progress import Clock, LastLineMeter, State, TrainingMeter, TranslationMeter

ROOT = Path(__file__).resolve().parents[2]
INNER = (
    '2026-01-01 00:01:21 | INFO | train_inner | {"epoch": 2, "update": 1.065, "loss": "4.7", '
    '"num_updates": "410", "lr": "0.00025"}'
)
VALID = '2026-01-01 00:02:00 | INFO | valid | {"valid_nll_loss": "3.1", "valid_num_updates": "420"}'


def test_a_count_at_the_end_of_a_log_is_progress() -> None:
    meter = LastLineMeter()
    assert meter.state() is None
    meter.feed("loading")
    assert meter.state() == State(0, 0, "", "loading")
    meter.feed("2048/38116 sentences")
    assert meter.state() == State(2048, 38116, "sentences")


def fed(meter: progress.Meter, *lines: str) -> State | None:
    for line in lines:
        meter.feed(line)
    return meter.state()


def test_training_counts_updates_if_their_end_is_given() -> None:
    assert fed(TrainingMeter(1000, None), INNER) == State(410, 1000, "updates", "loss 4.7")


def test_training_counts_epochs_otherwise() -> None:
    assert fed(TrainingMeter(None, 6), INNER) == State(1.065, 6, "epochs", "loss 4.7")


def test_validation_is_noted_and_moves_nothing() -> None:
    assert fed(TrainingMeter(None, 6), INNER, VALID) == State(1.065, 6, "epochs", "loss 4.7, valid loss 3.1")


@pytest.mark.parametrize(
    "line", ["", "epoch 001 | loss 4", "INFO | train | {cut off", "INFO | x | {'a': 1}", "a | {}", VALID]
)
def test_other_lines_are_no_progress(line: str) -> None:
    assert fed(TrainingMeter(None, 6), line) is None


def test_translation_counts_sources_once_each() -> None:
    lines = ["S-4\tHaus", "T-4\tx", "H-4\t-0.1\ta", "D-4\t-0.1\ta", "H-4\t-0.2\tb", "S-1\t", "Sieve"]
    assert fed(TranslationMeter(30), *lines) == State(2, 30, "sentences")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["fairseq-train", "--max-epoch", "6"], TrainingMeter),
        (["fairseq-train", "--max-update=6"], TrainingMeter),
        (["python", "other.py"], LastLineMeter),
    ],
)
def test_the_meter_follows_from_the_command(command: list[str], expected: type) -> None:
    assert type(progress.meter_for(command, None)) is expected


def test_options_are_found_where_they_stand_alone() -> None:
    command = ["x", "--max-epoch", "3", "--max-epochs", "4", "--no-max-update=7"]
    assert progress.option(command, "--max-epoch") == 3
    assert progress.option(command, "--max-update") is None


def test_the_time_left_ignores_what_was_done_before_this_run() -> None:
    now = iter([0.0, 10.0, 30.0, 30.0])
    clock = Clock(lambda: next(now))
    assert clock.left(State(500, 1000, "updates")) is None  # resumed here, at 10 s
    assert clock.left(State(600, 1000, "updates")) == pytest.approx(400 * 20 / 100)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.6, "1 min 00 s"), (75, "1 min 15 s"), (3700, "1 h 01 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert progress.duration(seconds) == text


def test_the_line_on_the_terminal() -> None:
    state = State(1.5, 6, "epochs", "loss 4.2")
    assert progress.describe("member 1", state, 60, 190) == (
        "[member 1] 1.50/6 epochs, 25 %, loss 4.2, 3 min 10 s left"
    )
    assert progress.describe("corpus", State(0, 0, "", "man: aligned"), 60, None) == (
        "[corpus] at work for 1 min 00 s: man: aligned"
    )


def run(stage: str, code: str, tmp_path: Path, output: Path | None = None) -> int:
    return progress.run(stage, [sys.executable, "-c", code], tmp_path / "log", LastLineMeter(), output)


def test_a_failure_shows_the_end_of_the_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log").write_text("from an earlier run\n")
    assert run("member 1", "print('before'); raise SystemExit('no such dictionary')", tmp_path) == 1
    shown = capfd.readouterr().err
    assert "[member 1] failed with status 1" in shown
    assert "no such dictionary" in shown
    assert str(tmp_path / "log") in shown
    assert "earlier" not in shown
    assert "earlier" in (tmp_path / "log").read_text()


def test_output_appears_only_after_success(tmp_path: Path) -> None:
    output = tmp_path / "deep" / "out.txt"
    assert run("a", "print('half'); raise SystemExit(3)", tmp_path, output) == 3
    assert not output.exists()
    assert run("a", "import sys; print('whole'); print('aside', file=sys.stderr)", tmp_path, output) == 0
    assert output.read_text() == "whole\n"
    assert "aside" in (tmp_path / "log").read_text()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as stream:
        return stream.read().rpartition(")")[2].split()[0] != "Z"


PATIENCE = 300
"""Seconds, on a machine that has other things to do; the command itself would take longer."""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's signal at a parent's death is Linux's")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_the_command_ends_with_its_stage(tmp_path: Path, number: int) -> None:
    pid_file = tmp_path / "pid"
    code = f"import os, time; open({str(pid_file)!r}, 'w').write(f'{{os.getpid()}}\\n'); time.sleep({2 * PATIENCE})"
    arguments = ["--stage", "a", "--log", str(tmp_path / "log"), "--", sys.executable, "-c", code]
    stage = subprocess.Popen([sys.executable, "-m", "scripts.workflow.progress", *arguments], cwd=ROOT)
    child = None
    try:
        deadline = time.monotonic() + PATIENCE
        while not (pid_file.exists() and pid_file.read_text().endswith("\n")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        child = int(pid_file.read_text())
        stage.send_signal(number)
        assert stage.wait(PATIENCE) != 0
        while alive(child):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        child = None
    finally:
        stage.kill()
        stage.wait()
        if child is not None:  # it has not ended with its stage
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
