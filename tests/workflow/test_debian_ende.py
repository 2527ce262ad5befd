"""The workflow as Snakemake reads it: every profile has a plan from nothing to the results."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from made_up_runs import write_runs
from miniature_workflow import MINIATURE, needs_snakemake, snakemake

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "debian_ende"
PROFILES = sorted(path.stem for path in (EXAMPLE / "config").glob("*.yaml"))


def config(profile: str) -> dict[str, object]:
    text = (EXAMPLE / "config" / f"{profile}.yaml").read_text(encoding="utf-8")
    content: dict[str, object] = yaml.safe_load(text)
    return content


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_says_the_command_that_runs_it(profile: str) -> None:
    header = (EXAMPLE / "config" / f"{profile}.yaml").read_text(encoding="utf-8").partition("\n\n")[0]
    assert f"bash scripts/quickstart.sh --profile {profile}" in header
    assert f"--configfile examples/debian_ende/config/{profile}.yaml" in header


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("section", ["member", "student", "transfer", "translate"])
def test_options_are_words_of_a_shell(profile: str, section: str) -> None:
    options = config(profile)[section]["options"]  # type: ignore[index]
    words = [word for line in options for word in shlex.split(line)]
    assert words[0].startswith("--")
    assert "--save-dir" not in words  # the workflow's own


@needs_snakemake
@pytest.mark.slow
@pytest.mark.parametrize("profile", PROFILES)
def test_the_plan_makes_every_file_from_nothing(profile: str, tmp_path: Path) -> None:
    configuration = EXAMPLE / "config" / f"{profile}.yaml"
    result = snakemake(tmp_path, configuration, "--config", "members=2", "--dry-run", "--printshellcmds")
    assert result.returncode == 0, result.stderr
    plan = result.stdout + result.stderr
    jobs = {line.split()[0]: int(line.split()[1]) for line in plan.splitlines() if line.split()[1:2] == ["2"]}
    assert jobs["member"] == 2
    assert "--ensemble-paths members/1/model.pt:members/2/model.pt" in plan
    assert "--adam-betas '(0.9, 0.98)'" in plan
    mixed = config(profile)["transfer"]["references"] == "mix"  # type: ignore[index]
    assert ("--references pieces/train.de" in plan) == mixed
    assert ("--stored-targets transfer/mixed/targets.h5" in plan) == mixed


@needs_snakemake
@pytest.mark.slow
def test_what_is_misspelt_is_one_sentence(tmp_path: Path) -> None:
    """See test_configuration.py for what is looked at."""
    for right, wrong, sentence in (
        ("keep: best", "keep: Best", 'has "Best" for keep of student; choose one of: "best", "last".'),
        (
            "  sample: 2000",
            "  sampel: 2000",
            "has an unknown key sampel of pieces (did you mean 'sample'?); there are: size, ",
        ),
    ):
        assert right in MINIATURE
        (tmp_path / "miniature.yaml").write_text(MINIATURE.replace(right, wrong), encoding="utf-8")
        result = snakemake(tmp_path, tmp_path / "miniature.yaml", "--dry-run", "--quiet", "all")
        assert result.returncode == 2
        assert result.stderr.startswith(f"error: The configuration {sentence}")
        assert result.stderr.count("\n") == 1


@needs_snakemake
@pytest.mark.slow
def test_sets_that_text_of_ones_own_does_not_have_are_refused_before_the_first_job(tmp_path: Path) -> None:
    configuration = config("quick")
    configuration["corpus"] = {"options": ["--source-files own.en --target-files own.de"]}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(configuration), encoding="utf-8")
    result = snakemake(tmp_path, tmp_path / "own.yaml", "--quiet", "all")
    assert result.returncode == 2
    assert result.stderr == (
        "error: With its options the corpus has no shifted/descriptions.en, no shifted/descriptions.de, "
        "no shifted/ding.en, no shifted/ding.de (its shifted sets: german, permuted, spoken); take the set out of "
        "'shifted' (or give it reference: false), or make 'languages' and the options of 'corpus' agree.\n"
    )
    assert not (tmp_path / "corpus").exists()


def evaluated(folder: Path, shifted: dict[str, dict[str, bool]]) -> dict[str, Any]:
    """The results of the last rules alone, with the profile's own options, on translations that are there already."""
    runs = write_runs(folder / "runs")
    for system, name in (("single", "member-1"), ("ensemble", "ensemble"), ("student", "student")):
        translations = folder / "translations" / name
        shutil.copytree(runs / system, translations)
        shutil.copy(translations / "permuted.jsonl", translations / "valid.jsonl")
    settings = {**config("quick"), "members": 1, "shifted": shifted}
    (folder / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    wanted = ["results.json", "acting/ensemble/payoff.txt", "acting/student/payoff.txt"]
    rules = ["--allowed-rules", "calibrator", "decision", "evaluate", "--"]
    result = snakemake(folder, folder / "config.yaml", *rules, *wanted)
    assert result.returncode == 0, result.stderr
    results: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return results


@needs_snakemake
@pytest.mark.slow
def test_without_shifted_sets_the_test_set_alone_is_evaluated(tmp_path: Path) -> None:
    """Not the validation set, which lies beside it, as if it were a shifted one."""
    assert evaluated(tmp_path, {})["sentences"] == {"test": 60}


@needs_snakemake
@pytest.mark.slow
def test_stages_print_utf_8_in_any_locale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONUTF8", "0")
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    evaluated(tmp_path, {})
    assert (tmp_path / "table.txt").read_text(encoding="utf-8").startswith("Quality of the translations ↑\n")


@needs_snakemake
@pytest.mark.slow
def test_what_is_learnt_from_the_validation_set_reaches_table_and_report(tmp_path: Path) -> None:
    results = evaluated(tmp_path, {"german": {"reference": False}, "permuted": {"reference": True}})
    assert {entry["system"] for entry in results["reliability"]} == {"ensemble", "student"}
    assert "p_bad" in (tmp_path / "table.txt").read_text(encoding="utf-8")
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert '"reliability":{"ensemble":{"meaning":"sentence BLEU below 30"' in report
    for system in ("ensemble", "student"):
        payoff = (tmp_path / "acting" / system / "payoff.txt").read_text(encoding="utf-8")
        sets = re.findall(
            r"^translations/\w+/(\w+)\.jsonl: (\d+) sentences\n  (\w+ \w+)", payoff, re.MULTILINE
        )
        assert sets == [
            ("test", "60", "as searched"), ("german", "40", "no references"), ("permuted", "40", "as searched"),
        ]  # fmt: skip
        assert payoff.count("kept by the threshold") == 2
        figures = json.loads((tmp_path / "acting" / system / "payoff.json").read_text(encoding="utf-8"))
        assert [Path(path).stem for path in figures["sets"]] == ["test", "german", "permuted"]
