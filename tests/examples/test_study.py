"""The study of students: a plan for every one of them, and tables that average over seeds."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from miniature_workflow import needs_snakemake, planned, snakemake

import ednd_nmt  # noqa: F401 - registers with fairseq
from ednd_nmt.errors import UserError
from examples.study.page import main as fill_page
from examples.study.tables import kept, main, read_scores, tables

ROOT = Path(__file__).resolve().parents[2]
QUICK = ROOT / "examples" / "study" / "config" / "quick.yaml"
SNAKEFILE = QUICK.parents[1] / "Snakefile"
BASE = ROOT / "examples" / "debian_ende" / "config" / "quick.yaml"


def results() -> dict[str, Any]:
    def score(system: str, figure: str, name: str, measure: str | None, value: float) -> dict[str, Any]:
        place = {"system": system, "figure": figure, "set": name, "measure": measure}
        return {**place, "score": value, "signature": f"set:{name}"}

    return {
        "in_domain": "test",
        "shifted": ["german"],
        "comparisons": [],
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
    assert "calibration error" not in text  # nobody fitted one
    assert "| member-1 | 20.0 (-4.0) | - |" in text
    assert "| ensemble | 24.0 | - |" in text
    assert "| reverse | 23.0 ±1.4 (-1.0) | - |" in text
    assert "| reverse | - | - | 93.0 (-1.0) | - | - |" in text
    assert text.count("| member-1 |") == 1  # it was not asked about German


@needs_snakemake
@pytest.mark.slow
def test_the_study_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by the command snakemake, which does not look for modules in the working directory."""
    monkeypatch.delenv("PYTHONPATH")
    monkeypatch.chdir(tmp_path)
    result = snakemake(tmp_path, BASE, str(QUICK), "--dry-run", snakefile=SNAKEFILE)
    assert planned(result)["study"] == 1


def test_what_is_no_evaluation_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other, lonely = tmp_path / "other.json", tmp_path / "lonely.json"
    other.write_text('{"bits_per_token": {}}', encoding="utf-8")
    lonely.write_text(json.dumps(results()), encoding="utf-8")
    for path, flags, said in ((other, [], "is no evaluation"), (lonely, ["--paired"], "compares nothing")):
        assert main([str(path), "--output", str(tmp_path / "tables.md"), *flags]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "tables.md").exists()


def test_the_page_shows_its_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = QUICK.parents[1]
    for path in (folder / "README.md", *folder.glob("*.json")):
        shutil.copyfile(path, tmp_path / path.name)
    assert fill_page([str(tmp_path)]) == 0
    assert (tmp_path / "README.md").read_bytes() == (folder / "README.md").read_bytes()
    for name in ("curves", "results", "cost", "paired", "tail", "weighting"):
        other = (tmp_path / f"{name}.json").read_bytes()
        (tmp_path / f"{name}.json").write_text('{"other": [1]}', encoding="utf-8")
        assert fill_page([str(tmp_path)]) == 2
        assert f"{name}.json has no {name} of a study" in capsys.readouterr().err
        (tmp_path / f"{name}.json").write_bytes(other)
    (tmp_path / "paired.json").unlink()
    assert fill_page([str(tmp_path)]) == 2


def test_what_a_paired_test_tells_apart_has_a_star() -> None:
    found = results()
    found["scores"].append({**found["scores"][3], "system": "end-1", "score": 23.0})
    found["scores"].append(
        {**found["scores"][5], "figure": "F1-AUC", "set": "test", "score": 0.5, "unit": ""}
    )
    for system, p_value in (("member-1", 0.01), ("end-1", 0.04), ("reverse-1", 0.01), ("reverse-2", 0.01)):
        place = {"figure": "BLEU", "set": "test", "measure": None}
        found["comparisons"].append({"system": system, "baseline": "ensemble", "p_value": p_value, **place})
    text = tables(found)
    assert "with one seed: * differs from ensemble, p < 0.05" in text
    assert "| member-1 | 20.0 (-4.0)* | - |" in text
    assert "| end | 23.0 (-1.0)* | - |" in text
    assert "| reverse | 23.0 ±1.4 (-1.0) | - |" in text  # of several seeds the deviation speaks
    assert "| reverse | - | - | 50.0 | - | - |" in text
    assert tables(kept(found)) == text
    found["scores"].append({**found["scores"][1], "figure": "ECE", "measure": "p_bad", "score": 2.5})
    assert "calibration error, %\n\n|  | ECE |\n| --- | ---: |\n| ensemble | 2.5 |" in tables(kept(found))
    del found["scores"][-1]
    found["scores"].append({**found["scores"][0], "figure": "AURC"})
    assert kept(found) == {name: value for name, value in found.items() if name != "scores"} | {
        "scores": found["scores"][:-1]
    }


def test_a_single_model_is_compared_with_as_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = results()
    scores = found["scores"]
    scores.append({**scores[3], "system": "end-1", "score": 23.0})
    scores.append({**scores[3], "system": "endd-1", "score": 21.0})
    for system, baseline, difference, p_value in (
        ("member-1", "ensemble", -4.0, 0.01),
        ("end-1", "ensemble", -1.0, 0.3),
        ("endd-1", "ensemble", -3.0, 0.02),
        ("ensemble", "member-1", 4.0, 0.01),
        ("end-1", "member-1", 3.0, 0.02),
        ("endd-1", "member-1", 1.0, 0.01),
    ):
        place = {"figure": "BLEU", "set": "test", "measure": None, "difference": difference}
        found["comparisons"].append({"system": system, "baseline": baseline, "p_value": p_value, **place})
    text = tables(found)
    assert "with one seed: * differs from ensemble, † differs from member-1, p < 0.05" in text
    assert "| ensemble | 24.0† | - |" in text
    assert "| member-1 | 20.0 (-4.0)* | - |" in text
    assert "| end | 23.0 (-1.0)† | - |" in text
    assert "| endd | 21.0 (-3.0)*† | - |" in text

    path, output = tmp_path / "results.json", tmp_path / "paired.md"
    path.write_text(json.dumps(found), encoding="utf-8")
    for flags, row in (
        (["--paired"], "| less ensemble | member-1 | end-1 | endd-1 |"),
        (["--paired", "member-1"], "| less member-1 | ensemble | end-1 | endd-1 |"),
    ):
        assert main([str(path), "--output", str(output), *flags]) == 0
        assert output.read_text(encoding="utf-8").splitlines()[0] == row
    assert output.read_text(encoding="utf-8").splitlines()[2] == "| BLEU | +4.0* | +3.0* | +1.0* |"
    assert main([str(path), "--output", str(output), "--paired", "end-1"]) == 2
    assert "compare nothing with end-1; choose from ensemble, member-1." in capsys.readouterr().err


def test_without_an_ensemble_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    found = results()
    found["scores"] = [score for score in found["scores"] if score["system"] != "ensemble"]
    with pytest.raises(UserError, match="no system 'ensemble'"):
        read_scores(found)
    (tmp_path / "results.json").write_text(json.dumps(found), encoding="utf-8")
    assert main([str(tmp_path / "results.json"), "--output", str(tmp_path / "tables.md")]) == 2
    assert not (tmp_path / "tables.md").exists()


def test_kinds_of_several_seeds_are_compared_by_their_spread(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = results()
    scores = found["scores"]
    template = scores.pop()  # the area for German, which one of the two seeds has
    for seed in (1, 2):
        scores.append({**template, "system": f"reverse-{seed}", "score": 90.0 + seed})
        scores.append({**template, "system": f"end-{seed}", "score": 95.5 + seed / 10})
        scores.append(
            {
                **template,
                "system": f"end-{seed}",
                "figure": "BLEU",
                "set": "test",
                "measure": None,
                "score": 22 + seed,
            }
        )
        scores.append(
            {**template, "system": f"end-{seed}", "measure": "TU", "score": 90.0}
        )  # the other kind has none
    scores.append({**template, "system": "lonely-1"})
    # Welch: 4.15 / sqrt(0.5 / 2 + 0.005 / 2) = 8.3 at 1.02 degrees of freedom is p = 0.074, a third seed decides
    path, output = tmp_path / "results.json", tmp_path / "kinds.md"

    def rows(kind: str, other: str) -> list[str]:
        path.write_text(json.dumps(found), encoding="utf-8")
        assert main([str(path), "--output", str(output), "--kinds", kind, other]) == 0
        return output.read_text(encoding="utf-8").splitlines()[2:]

    german, bleu = rows("end", "reverse")
    assert german == "| ROC-AUC german MKL | 91.5 ±0.7 | 95.7 ±0.1 | +4.2 |"
    assert bleu == "| BLEU | 23.0 ±1.4 | 23.5 ±0.7 | +0.5 |"
    scores.append({**template, "system": "reverse-3", "score": 91.5})
    assert rows("end", "reverse")[0] == "| ROC-AUC german MKL | 91.5 ±0.5 | 95.7 ±0.1 | +4.2* |"
    assert rows("reverse", "end")[1] == "| ROC-AUC german MKL | 95.7 ±0.1 | 91.5 ±0.5 | -4.2* |"
    for name, said in (("lonely", "have one seed of lonely"), ("ends", "have no students ends; choose from")):
        assert main([str(path), "--output", str(output), "--kinds", name, "end"]) == 2
        assert said in capsys.readouterr().err


def test_means_of_all_kinds_stand_beside_the_ensemble(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, output = tmp_path / "results.json", tmp_path / "means.md"
    path.write_text(json.dumps(results()), encoding="utf-8")
    for name, lines in (
        ([], ["| less ensemble | reverse |", "| BLEU | -1.0 ±1.4 |", "| ROC-AUC german MKL | -1.0 |"]),
        (["member-1"], ["| less member-1 | ensemble | reverse |", "| BLEU | +4.0 | +3.0 ±1.4 |"]),
    ):
        assert main([str(path), "--output", str(output), "--means", *name]) == 0
        text = output.read_text(encoding="utf-8").splitlines()
        assert [text[0], *text[2:]] == lines
    assert main([str(path), "--output", str(output), "--means", "member-2"]) == 2
    assert "have no member-2; choose from member-1, ensemble, reverse." in capsys.readouterr().err


STUDY = yaml.safe_load(QUICK.read_text(encoding="utf-8"))["study"]
LONGER = QUICK.with_name("longer.yaml")
LONGER_STUDY = yaml.safe_load(LONGER.read_text(encoding="utf-8"))["study"]
LONGER_MEMBERS = QUICK.with_name("longer_members.yaml")
LONGER_MEMBERS_STUDY = yaml.safe_load(LONGER_MEMBERS.read_text(encoding="utf-8"))["study"]
LABELS_STUDY = yaml.safe_load(QUICK.with_name("labels.yaml").read_text(encoding="utf-8"))["study"]


def words(lines: list[str]) -> list[str]:
    return [word for line in lines for word in shlex.split(line)]


def test_students_differ_in_what_they_are_compared_by() -> None:
    own = [tuple(words(lines)) for lines in STUDY["students"].values()]
    assert len(set(own)) == len(own)
    common = {word for word in words(STUDY["common"]) if word.startswith("--")}
    overridden = {name: common.intersection(words(lines)) for name, lines in STUDY["students"].items()}
    assert {name for name, options in overridden.items() if options} == {"reverse_wide"}


@pytest.mark.parametrize(
    ("study", "student"),
    [
        (study, student)
        for study in (STUDY, LONGER_STUDY, LABELS_STUDY, LONGER_MEMBERS_STUDY)
        for student in study["students"]
    ],
)
def test_fairseq_knows_the_options_of_a_student(study: dict[str, Any], student: str) -> None:
    from fairseq import options

    parser = options.get_training_parser()
    arguments = ["data", "--task", "distillation", *words(study["common"])]
    own = words(study["students"][student])
    parsed = options.parse_args_and_arch(parser, [*arguments, *own])
    assert parsed.max_update == int(2100 if study is STUDY else student.rpartition("_")[2])
    for option, value in zip(own, [*own[1:], "--"], strict=True):
        if not option.startswith("--"):
            continue
        found = getattr(parsed, option[2:].replace("-", "_"))
        if value.startswith("--"):
            assert found is True
        elif isinstance(found, list):
            assert found == [float(value)]
        else:
            assert str(found) == value


@needs_snakemake
@pytest.mark.slow
def test_every_student_is_trained_and_translates_every_set(tmp_path: Path) -> None:
    plan = snakemake(tmp_path, BASE, str(QUICK), "--dry-run", "--printshellcmds", snakefile=SNAKEFILE)
    jobs = planned(plan)
    assert jobs["student_of_study"] == len(STUDY["students"]) * 3
    calibrated = len(STUDY["students"]) - len(STUDY["uncalibrated"])
    sets = len(STUDY["students"]) * 5 + calibrated  # the validation set is for the calibrator
    assert jobs["translate_of_study"] == sets * 3
    assert jobs["translate_of_baseline"] == len(STUDY["baselines"]) * 6
    assert jobs["calibrator_of_study"] == calibrated * 3 + len(STUDY["baselines"]) + 2
    assert jobs["member"] == 3
    assert "student" not in jobs  # the run's own is not one of them
    assert "--seed 2 --encoder-layers 2" in plan.stdout
    assert "--path study/students/reverse_mle-3/model.pt" in plan.stdout
    assert "--path members/1/model.pt:members/2/model.pt --gen-subset" in plan.stdout
    assert "--retain-dropout" in plan.stdout
    assert "mc_dropout=study/translations/mc_dropout" in plan.stdout
    assert "--calibration mc_dropout=study/calibrators/mc_dropout.json" in plan.stdout
    assert "reverse_scratch-3=study/translations/reverse_scratch-3" in plan.stdout


@needs_snakemake
@pytest.mark.slow
def test_some_of_the_students_can_be_asked_for(tmp_path: Path) -> None:
    def plan(only: str) -> subprocess.CompletedProcess[str]:
        chosen = f"study={{only: [{only}], seeds: [2]}}"
        return snakemake(tmp_path, BASE, str(QUICK), "--dry-run", "--config", chosen, snakefile=SNAKEFILE)

    result = plan("endd, reverse")
    jobs = planned(result)
    assert (jobs["student_of_study"], jobs["translate_of_study"]) == (2, 2 * 6)
    assert "study/students/endd-2/model.pt" in result.stdout + result.stderr
    unknown = plan("endd, revers")
    assert unknown.returncode == 1
    assert "The study has no student revers; choose from end, endd," in unknown.stdout + unknown.stderr


@needs_snakemake
@pytest.mark.slow
def test_students_of_another_shape_wait_for_what_they_begin_with(tmp_path: Path) -> None:
    plan = snakemake(tmp_path, BASE, str(LONGER), "--dry-run", "--printshellcmds", snakefile=SNAKEFILE)
    jobs = planned(plan)
    assert jobs["student_of_study"] == len(LONGER_STUDY["students"])
    assert jobs["start_of_study"] == len(LONGER_STUDY["starts"])
    assert jobs["translate_of_study"] == 6 * (len(LONGER_STUDY["students"]) + len(LONGER_STUDY["again"]))
    assert "--path study/students/pair_released_2100-1/model.pt" in plan.stdout
    assert "study/translations/pair_released_2100_no_tail-1/ding.jsonl" in plan.stdout
    assert plan.stdout.count("--uncertainty-offset 0") == 6 * len(LONGER_STUDY["again"])
    assert jobs["stored_targets"] == 1
    assert (
        "-m ednd_nmt grow members/1/model.pt --copies 2 --seed 1 --output study/starts/wide.pt" in plan.stdout
    )
    side_by_side = "-m ednd_nmt grow members/1/model.pt members/2/model.pt members/3/model.pt"
    assert f"{side_by_side} --decoders 1 --output study/starts/encoders.pt" in plan.stdout
    assert "--stored-targets transfer/targets.h5 --seed 1 --arch dirichlet_transformer" in plan.stdout


@needs_snakemake
@pytest.mark.slow
def test_members_go_on_and_students_learn_from_their_data(tmp_path: Path) -> None:
    plan = snakemake(
        tmp_path, BASE, str(LONGER_MEMBERS), "--dry-run", "--printshellcmds", snakefile=SNAKEFILE
    )
    jobs = planned(plan)
    assert jobs["member"] == 3
    for member in ("1", "2", "3"):
        assert f"--seed {member} --finetune-from-model '../quick/members/{member}/model.pt'" in plan.stdout
    assert not {"shard", "transfer_text", "transfer_data"} & set(jobs)  # there is nothing to translate
    assert jobs["stored_targets"] == 1
    assert "-m ednd_nmt store data --source-lang" in plan.stdout
    assert "fairseq-train data --task distillation" in plan.stdout
    assert "--stored-targets transfer/references/targets.h5" in plan.stdout
