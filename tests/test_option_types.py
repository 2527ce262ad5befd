"""Options that make no sense are refused by argparse, in one sentence with the option's name."""

from __future__ import annotations

import argparse
import runpy
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
