"""The command from files to the terminal, JSON, Markdown and LaTeX."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from own_process import python

from ednd_nmt.errors import UserError
from ednd_nmt.evaluation import command
from ednd_nmt.evaluation.report import command as report


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([*arguments, "--resamples", "20"]))


@pytest.fixture(scope="module")
def systems(runs: Path) -> list[str]:
    return [f"{name}={runs / name}" for name in ("single", "ensemble", "student")]


def test_terminal_table(systems: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*systems) == 0
    output = capsys.readouterr().out
    assert all(len(line) <= 100 for line in output.splitlines())
    assert "\x1b" not in output
    rows = [line.split() for line in output.splitlines()]
    mutual = next(row for row in rows if row[:1] == ["MI"])
    assert mutual[:4] == ["MI", "mutual", "information", "-"]
    assert len([row for row in rows if row[:1] == ["TU"]]) == 3  # PRR and two shifted sets
    assert "PRR|measure:TU|level:sentence|set:test|sentences:60|nbest:3|weighting:posterior|T:1" in output


def test_a_table_leaves_out_a_system_without_any_figure_in_it(
    systems: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "quality-only").mkdir()
    shutil.copy(Path(systems[0].partition("=")[2]) / "test.jsonl", tmp_path / "quality-only")
    assert run(*systems, f"quality-only={tmp_path / 'quality-only'}") == 0
    blocks = capsys.readouterr().out.split("\n\n")
    heads = {block.splitlines()[0]: block for block in blocks}
    assert "quality-only" in heads["Quality of the translations ↑"]
    assert "quality-only" not in heads["Telling german from test: ROC-AUC, % ↑"]


def test_without_the_name_of_a_shifted_set_there_is_none(
    systems: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, page = tmp_path / "results.json", tmp_path / "report.html"
    assert run(*systems, "--shifted", "--json", str(results), "--report", str(page)) == 0
    output = capsys.readouterr().out
    assert "PRR" in output
    assert "german" not in output + page.read_text("utf-8")
    data = json.loads(results.read_text("utf-8"))
    assert (data["shifted"], data["sentences"]) == ([], {"test": 60})


def test_many_systems_are_shown_below_each_other(
    systems: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    many = [f"system-with-a-long-name-{i}={item.partition('=')[2]}" for i, item in enumerate(systems * 3)]
    run(*many, "--measures", "TU")
    output = capsys.readouterr().out
    assert all(len(line) <= 100 for line in output.splitlines())
    assert all(f"system-with-a-long-name-{i} " in output.replace("\n", " ") for i in range(9))


def test_json_markdown_and_latex_hold_the_same_numbers(
    systems: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = {kind: tmp_path / f"out.{kind}" for kind in ("json", "markdown", "latex")}
    run(*systems, *(w for kind, path in paths.items() for w in (f"--{kind}", str(path))), "--measures", "all")
    data = json.loads(paths["json"].read_text("utf-8"))
    assert data["sentences"] == {"test": 60, "german": 40, "permuted": 40}
    entry = next(
        s for s in data["scores"] if (s["system"], s["measure"], s["figure"]) == ("student", "logvar", "PRR")
    )
    number = f"{entry['score']:.1f}"
    confidence = entry["confidence"]
    margin = f"{(confidence['high'] - confidence['low']) / 2:.1f}"
    assert f"{number} ±{margin}" in capsys.readouterr().out
    assert f"{number} ±{margin}" in paths["markdown"].read_text("utf-8")
    assert f"{number}" in paths["latex"].read_text("utf-8")
    assert r"\begin{tabular}{lrrr}" in paths["latex"].read_text("utf-8")


@pytest.mark.parametrize("kind", ["json", "markdown", "report"])
def test_tables_make_way_for_what_goes_to_standard_output(
    kind: str, systems: list[str], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "ednd_nmt", "evaluate", systems[0], "--resamples", "20", f"--{kind}"]
    beside, within = (
        subprocess.run([*command, output], cwd=tmp_path, capture_output=True, text=True, check=True)
        for output in ("written", "/dev/stdout")
    )
    assert within.stdout == (tmp_path / "written").read_text(encoding="utf-8")
    assert within.stderr == beside.stdout != ""


def test_what_is_saved_does_not_wait_for_a_reader(systems: list[str], tmp_path: Path) -> None:
    """Whose pipe may be closed, as that of ``| head -1``."""
    command = [
        sys.executable,
        "-m",
        "ednd_nmt",
        "evaluate",
        systems[0],
        "--resamples",
        "20",
        "--json",
        "figures.json",
    ]
    with open("/dev/full", "w") as full:
        ended = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 1
    assert json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))["scores"]


@pytest.mark.parametrize("option", ["--report", "--token-level"])
def test_a_pipe_is_not_read_twice(option: str, systems: list[str], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    options = [option, str(tmp_path / "page.html")] if option == "--report" else [option]
    with pytest.raises(UserError, match=r"is a device or a pipe, and .* reads it twice; give a file"):
        command.run(parser.parse_args([f"x={tmp_path / 'pipe'}", *options]))


def test_the_page_beside_the_tables_is_that_of_the_report_command(systems: list[str], tmp_path: Path) -> None:
    run(*systems, "--report", str(tmp_path / "beside.html"))
    parser = argparse.ArgumentParser()
    report.add_arguments(parser)
    alone = [*systems, "--resamples", "20", "--output", str(tmp_path / "alone.html")]
    assert report.run(parser.parse_args(alone)) == 0
    assert (tmp_path / "beside.html").read_bytes() == (tmp_path / "alone.html").read_bytes()


def test_quality_and_weighting_are_in_the_signature(
    systems: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run(systems[0], "--quality", "chrf", "--weighting", "uniform", "--nbest", "2")
    output = capsys.readouterr().out.replace("\n    ", "")
    assert "order of the true errors by chrF" in output
    assert "nbest:2|weighting:uniform|quality:chrF[nrefs:1|" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--quality", "rouge"], "Unknown quality metric 'rouge'"),
        (["--calibration", "x=c.json"], "Cannot read --calibration 'x=c.json'; write SYSTEM=PATH"),
        (["--resamples", "1"], "--resamples must be at least 10"),
        (["--nbest", "0"], "--nbest must be at least 1"),
        (["--seed", "-1"], "--seed must not be negative"),
        (["--acceptable-error", "nan"], "--acceptable-error is nan"),
    ],
)
def test_faulty_numbers(systems: list[str], arguments: list[str], message: str) -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    with pytest.raises(UserError, match=message):
        command.run(parser.parse_args([systems[0], *arguments]))


def test_evaluation_imports_neither_torch_nor_fairseq_nor_scikit_learn() -> None:
    code = (
        "import sys, ednd_nmt.evaluation, ednd_nmt.evaluation.command, ednd_nmt.evaluation.tables;"
        "print([m for m in ('torch', 'fairseq', 'sklearn', 'scipy', 'sacrebleu') if m in sys.modules])"
    )
    result = python("-c", code)
    assert result.stdout.strip() == "[]", result.stderr
