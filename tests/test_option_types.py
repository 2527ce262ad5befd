"""Options that make no sense are refused by argparse, in one sentence with the option's name."""

from __future__ import annotations

import argparse
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from ednd_nmt.option_types import at_least

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


def test_numbers_from_the_smallest_on() -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--jobs", type=at_least(2))
    assert parser.parse_args(["--jobs", "2"]).jobs == 2
    for text, reason in (
        ("1", "give at least 2, not 1"),
        ("-7", "give at least 2, not -7"),
        ("two", "invalid whole_number"),
    ):
        with pytest.raises(argparse.ArgumentError, match=f"argument --jobs: {reason}"):
            parser.parse_args(["--jobs", text])


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        # Without an update fairseq-train never ends, and what was never killed has survived.
        ("stress_numerics.py", "--updates 0"),
        ("check_crash_safety.py", "--source a --target b --folder c --kills 0"),
        ("soak_translate.py", "--model m --text t --lines 1"),
        ("build_corpus.py", "--out o --valid-size -1"),
        ("build_corpus.py", "--out o --jobs 0"),
        ("benchmark_decoding.py", "s=s --data d --repeats 0"),
        ("benchmark_evaluation.py", "--plain-resamples 0"),
        ("benchmark_objectives.py", "--tokens 64 --repeats 0"),
    ],
)
def test_scripts_refuse_them(
    script: str, arguments: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", [script, *arguments.split()])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPTS / script), run_name="__main__")
    assert ended.value.code == 2
    option, value = arguments.split()[-2:]
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"error: argument {option}: give at least " in error
    assert error.endswith(f", not {value}")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("s=s.pt --profile studnet", "--profile studnet: choose from plain, s"),
        ("s=s.pt s=t.pt", "two systems have the same name"),
        ("plain=s.pt", "plain is fairseq's own search"),
        ("s.pt", "write NAME=CHECKPOINT"),
        ("s=", "write NAME=CHECKPOINT"),
        ("s=s.pt --profile s --json j", "--profile makes no table"),
        ("s=s.pt", "There is no d; check --data"),
    ],
)
def test_systems_of_the_decoding_benchmark_have_names(
    arguments: str, reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["benchmark", "--data", "d", *arguments.split()])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPTS / "benchmark_decoding.py"), run_name="__main__")
    assert ended.value.code == 2
    assert reason in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("script", ["decoding", "evaluation", "objectives"])
def test_a_benchmark_is_of_its_own_checkout(script: str, tmp_path: Path) -> None:
    other = tmp_path / "ednd_nmt" / "__init__.py"
    other.parent.mkdir()
    other.write_text("raise SystemExit('another checkout')", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, str(SCRIPTS / f"benchmark_{script}.py"), "--help"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
