"""Figures for papers."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from full_disk import full_disk

from ednd_nmt.evaluation.calibration import fit_calibration
from ednd_nmt.evaluation.columns import read_columns
from ednd_nmt.evaluation.evaluate import Evaluation, Key, Settings, evaluate
from ednd_nmt.evaluation.figures import save_figures

pytest.importorskip("matplotlib", reason="figures need matplotlib")


@pytest.fixture(scope="module")
def evaluation(runs: Path) -> Evaluation:
    systems = {
        name: {path.stem: read_columns(path) for path in (runs / name).glob("*.jsonl")}
        for name in ("single", "student")
    }
    calibration = fit_calibration(systems["student"]["permuted"], ["TU"], threshold=40)
    settings = Settings(resamples=10, measures=("all",), calibrations={"student": calibration})
    return evaluate(systems, settings=settings)


@pytest.fixture(scope="module")
def files(evaluation: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The figures, in a folder that was not there."""
    return save_figures(evaluation, tmp_path_factory.mktemp("figures") / "new")


def test_every_curve_is_drawn_and_labelled_with_its_score(evaluation: Evaluation, files: list[Path]) -> None:
    names = [
        "rejection",
        "reliability",
        *(f"{k}-{s}" for k in ("roc", "histogram") for s in ("german", "permuted")),
    ]
    assert sorted(path.name for path in files) == sorted(
        f"{n}.{kind}" for n in names for kind in ("svg", "png")
    )
    folder = files[0].parent
    text = (folder / "rejection.svg").read_text("utf-8")
    for system, measures in (("single", ["TU", "sTU"]), ("student", ["TU", "logvar"])):
        for measure in measures:
            score = evaluation.scores[Key(system, "test", measure, "PRR")].format(score_only=True)
            assert f">{measure} {score}<" in text
    assert text.count(">random<") == text.count(">oracle<") == 2
    assert (folder / "rejection.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow(seconds=16)
def test_the_same_data_give_the_same_file(evaluation: Evaluation, files: list[Path], tmp_path: Path) -> None:
    again = save_figures(evaluation, tmp_path)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in files]


@pytest.mark.slow(seconds=9)
def test_a_figure_is_seen_whole_or_not_at_all(
    evaluation: Evaluation, files: list[Path], tmp_path: Path
) -> None:
    for path in files:
        shutil.copy(path, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with full_disk(), pytest.raises(OSError, match="File too large"):
        save_figures(evaluation, tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_set_without_any_of_the_shown_measures_has_no_figure(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    systems = {"student": dict(evaluation.systems["student"])}
    german = systems["student"]["german"]
    systems["student"]["german"] = replace(german, measures={"TU": german.measures["TU"]})
    files = save_figures(evaluate(systems, settings=Settings(resamples=10, measures=("MI",))), tmp_path)
    assert {path.stem for path in files} == {"rejection", "roc-permuted", "histogram-permuted"}


def test_histograms_have_a_panel_for_each_measure_that_a_system_has(files: list[Path]) -> None:
    text = (files[0].parent / "histogram-german.svg").read_text("utf-8")
    assert text.count(">TU<") == 2
    assert text.count(">logvar<") == 1
    assert (
        text.count(">german<") == text.count(">test<") == 2 + 9
    )  # panels of the single model and of the student


def test_the_reliability_diagram_names_its_error(evaluation: Evaluation, files: list[Path]) -> None:
    score = evaluation.scores[Key("student", "test", "p_bad", "ECE")].format(score_only=True)
    assert f">student (ECE {score} %)<" in (files[0].parent / "reliability.svg").read_text("utf-8")
