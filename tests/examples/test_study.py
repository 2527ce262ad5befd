"""The study of students: a plan for every one of them, and tables that average over seeds."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

import ednd_nmt  # noqa: F401 - registers with fairseq
from ednd_nmt.errors import UserError
from examples.study.tables import main, read_scores, tables

ROOT = Path(__file__).resolve().parents[2]
QUICK = ROOT / "examples" / "study" / "config" / "quick.yaml"
BASE = ROOT / "examples" / "debian_ende" / "config" / "quick.yaml"


def results() -> dict[str, Any]:
    def score(system: str, figure: str, name: str, measure: str | None, value: float) -> dict[str, Any]:
        place = {"system": system, "figure": figure, "set": name, "measure": measure}
        return {**place, "score": value, "signature": f"set:{name}"}

    return {
        "in_domain": "test",
        "shifted": ["german"],
        "scores": [
            score("member-1", "BLEU", "test", None, 20.0),
            score("ensemble", "BLEU", "test", None, 24.0),
            score("ensemble", "ROC-AUC", "german", "MKL", 94.0),
            score("reverse-1", "BLEU", "test", None, 22.0),
            score("reverse-2", "BLEU", "test", None, 24.0),
            score("reverse-1", "ROC-AUC", "german", "MKL", 93.0),
        ],
    }


def test_students_that_differ_in_the_seed_are_one_row() -> None:
    text = tables(results())
    assert "| member-1 | 20.0 (-4.0) | - |" in text
    assert "| ensemble | 24.0 | - |" in text
    assert "| reverse | 23.0 ±1.4 (-1.0) | - |" in text
    assert "| reverse | - | - | 93.0 (-1.0) | - | - |" in text
    assert text.count("| member-1 |") == 1  # it was not asked about German


def test_without_an_ensemble_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    found = results()
    found["scores"] = [score for score in found["scores"] if score["system"] != "ensemble"]
    with pytest.raises(UserError, match="no system 'ensemble'"):
        read_scores(found)
    (tmp_path / "results.json").write_text(json.dumps(found), encoding="utf-8")
    assert main([str(tmp_path / "results.json"), "--output", str(tmp_path / "tables.md")]) == 2
    assert not (tmp_path / "tables.md").exists()


STUDY = yaml.safe_load(QUICK.read_text(encoding="utf-8"))["study"]


def words(lines: list[str]) -> list[str]:
    return [word for line in lines for word in shlex.split(line)]


def test_students_differ_in_what_they_are_compared_by() -> None:
    own = [tuple(words(lines)) for lines in STUDY["students"].values()]
    assert len(set(own)) == len(own)
    common = {word for word in words(STUDY["common"]) if word.startswith("--")}
    assert not common.intersection(*own)


@pytest.mark.parametrize("student", STUDY["students"])
def test_fairseq_knows_the_options_of_a_student(student: str) -> None:
    from fairseq import options

    own = words(STUDY["students"][student])
    arguments = ["data", "--task", "distillation", *words(STUDY["common"]), *own]
    parsed = options.parse_args_and_arch(options.get_training_parser(), arguments)
    assert parsed.max_update == 2100
    for option, value in zip(own[::2], own[1::2], strict=True):
        assert str(getattr(parsed, option[2:].replace("-", "_"))) == value


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("snakemake") is None, reason="the extra `workflow` is not installed"
)
def test_every_student_is_trained_and_translates_every_set(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "-s",
        str(QUICK.parents[1] / "Snakefile"),
        "--cores",
        "2",
        "--dry-run",
    ]
    command += ["--directory", str(tmp_path), "--configfile", str(BASE), str(QUICK), "--printshellcmds"]
    plan = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert plan.returncode == 0, plan.stderr
    lines = map(str.split, plan.stdout.splitlines())
    jobs = {line[0]: line[1] for line in lines if len(line) == 2}
    assert jobs["student_of_study"] == str(9 * 3)
    assert jobs["translate_of_study"] == str(9 * 3 * 5)
    assert jobs["member"] == "3"
    assert "student" not in jobs  # the run's own is not one of them
    assert "--seed 2 --encoder-layers 2" in plan.stdout
    assert "--path study/students/reverse_mle-3/model.pt" in plan.stdout
    assert "reverse_scratch-3=study/translations/reverse_scratch-3" in plan.stdout
