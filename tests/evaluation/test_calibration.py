"""The map from uncertainty to the probability of a bad translation."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from ednd_nmt.errors import UserError
from ednd_nmt.evaluation import calibrate_command
from ednd_nmt.evaluation.calibration import (
    Calibration,
    brier_score,
    expected_calibration_error,
    fit_calibration,
    is_bad,
    read_calibration,
    reliability,
)
from ednd_nmt.evaluation.columns import Columns, read_columns


@pytest.fixture(scope="module")
def columns(runs: Path) -> Columns:
    return read_columns(runs / "student/test.jsonl")


def test_the_fit_minimises_the_penalised_cross_entropy(columns: Columns) -> None:
    """The gradient of the objective, written out, is zero at the fit."""
    fitted = fit_calibration(columns, ["TU", "sMKL"], "chrf", 60)
    bad = is_bad(columns, "chrf", 60)
    values = np.stack([columns.measures[name] for name in fitted.measures], axis=1)
    values = (values - values.mean(axis=0)) / values.std(axis=0)
    residual = fitted.probability(columns.measures) - bad
    assert residual.sum() == pytest.approx(0, abs=1e-2)
    np.testing.assert_allclose(residual @ values + np.array(fitted.weights) / 100, 0, atol=1e-2)


@pytest.mark.parametrize("value", [0.0, 0.1, 0.3, 0.7])
def test_a_measure_that_never_differs_says_nothing_elsewhere(columns: Columns, value: float) -> None:
    """The mean of sixty 0.1 is not 0.1, nor their standard deviation 0."""
    constant = {**columns.measures, "MI": np.full(len(columns), value)}
    fitted = fit_calibration(dataclasses.replace(columns, measures=constant), ["sTU", "MI"], "bleu", 50.0)
    alone = fit_calibration(columns, ["sTU"], "bleu", 50.0)
    for mutual_information in (value, value + 0.5):
        probability = fitted.probability({"sTU": 0.9, "MI": mutual_information})
        assert probability == pytest.approx(alone.probability({"sTU": 0.9}), abs=1e-3)


def test_probabilities_are_calibrated_where_the_model_holds() -> None:
    generator = np.random.default_rng(0)
    uncertainty = generator.normal(1.0, 2.0, size=200_000)
    truth = Calibration(("TU",), (1.0,), (2.0,), (1.5,), -0.5, "bleu", 30.0, 1)
    probability = truth.probability({"TU": uncertainty})
    bad = (generator.random(uncertainty.size) < probability).astype(float)
    assert expected_calibration_error(probability, bad) < 0.005
    assert expected_calibration_error(np.full(bad.size, 0.9), bad) == pytest.approx(0.9 - bad.mean())
    assert brier_score(probability, bad) < bad.var()


def test_reliability_counts_every_sentence_once_and_the_ends_of_the_scale() -> None:
    points = reliability([0.0, 0.05, 0.55, 1.0], [0, 1, 1, 1])
    assert [(p.predicted, p.observed, p.count) for p in points] == [
        (0.025, 0.5, 2),
        (0.55, 1.0, 1),
        (1.0, 1.0, 1),
    ]
    assert expected_calibration_error([0.0, 0.05, 0.55, 1.0], [0, 1, 1, 1]) == pytest.approx(
        (0.95 + 0.45) / 4
    )


def test_extreme_uncertainties_do_not_overflow() -> None:
    calibration = Calibration(("TU",), (0.0,), (1.0,), (1.0,), 0.0, "bleu", 30.0, 1)
    with np.errstate(all="raise", under="ignore"):
        assert calibration.probability({"TU": [-1e4, 0.0, 1e4]}).tolist() == [0.0, 0.5, 1.0]


def test_what_is_saved_is_read_back(columns: Columns, tmp_path: Path) -> None:
    calibration = fit_calibration(columns, ["sTU"], threshold=50)
    path = tmp_path / "c.json"
    path.write_text(calibration.to_json(), encoding="utf-8")
    assert read_calibration(path) == calibration


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not valid JSON"),
        ("[]", "is not a calibration of version 1"),
        (
            '{"format": "ednd-nmt.calibration", "version": 1}',
            "wrong, missing or unknown field .measures.; it must have",
        ),
    ],
)
def test_a_faulty_file_is_one_clear_sentence(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_calibration(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("quality", 5), ("quality", None), ("threshold", "30"), ("threshold", True), ("sentences", 1.5), ("search", 5),
        ("measures", "sTU"), ("measures", [5]), ("weights", ["1"]), ("weights", 1.0), ("unknown", 5),
        pytest.param("threshold", 10**400, id="threshold-huge"),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_one_clear_sentence(
    columns: Columns, tmp_path: Path, name: str, value: object
) -> None:
    record = json.loads(fit_calibration(columns, ["sTU"], threshold=50).to_json())
    path = tmp_path / "c.json"
    path.write_text(json.dumps({**record, name: value}), encoding="utf-8")
    with pytest.raises(UserError, match=rf"c\.json has a wrong, missing or unknown field \({name}\)"):
        read_calibration(path)


def test_a_file_of_before_the_search_was_kept_is_read(columns: Columns, tmp_path: Path) -> None:
    record = json.loads(fit_calibration(columns, ["sTU"], threshold=50).to_json())
    del record["predictive"], record["conditions"]
    path = tmp_path / "c.json"
    path.write_text(json.dumps(record | {"intercept": 1}), encoding="utf-8")
    found = read_calibration(path)
    assert (found.predictive, found.conditions, found.intercept) == ("", "", 1.0)


def test_a_file_with_unequal_lists_is_refused(columns: Columns, tmp_path: Path) -> None:
    record = json.loads(fit_calibration(columns, ["sTU"], threshold=50).to_json())
    path = tmp_path / "c.json"
    path.write_text(json.dumps({**record, "weights": [1.0, 2.0]}), encoding="utf-8")
    with pytest.raises(UserError, match="one center, scale and weight for each measure"):
        read_calibration(path)


def test_faulty_requests_are_one_clear_sentence(columns: Columns, runs: Path) -> None:
    with pytest.raises(UserError, match="does not have the measure 'sDU'"):
        fit_calibration(columns, ["sDU"])
    with pytest.raises(UserError, match=r"All 60 translations of .* are good by bleu -1"):
        fit_calibration(columns, ["TU"], threshold=-1)
    with pytest.raises(UserError, match="has no references"):
        fit_calibration(read_columns(runs / "student/german.jsonl"), ["TU"])
    fitted = fit_calibration(columns, ["MI"], threshold=50)
    with pytest.raises(UserError, match="needs the measure 'MI'"):
        fitted.probability(read_columns(runs / "single/test.jsonl").measures)


def test_worse_means_more_probable_whatever_the_direction_of_the_metric(columns: Columns) -> None:
    for quality, threshold in (("bleu", 50.0), ("ter", 40.0)):
        fitted = fit_calibration(columns, ["TU"], quality, threshold)
        low, high = fitted.probability({"TU": np.quantile(columns.measures["TU"], [0.05, 0.95])})
        assert low < 0.3 < 0.7 < high
    constant = dataclasses.replace(columns, measures={"TU": np.ones(len(columns))})
    share = is_bad(columns, "bleu", 50).mean()
    assert fit_calibration(constant, ["TU"], "bleu", 50).probability({"TU": 1.0}) == pytest.approx(
        share, abs=1e-3
    )


def test_the_command_fits_and_checks(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    calibrate_command.add_arguments(parser)
    valid, test, output = runs / "single/test.jsonl", runs / "single/permuted.jsonl", tmp_path / "c.json"
    arguments = [str(valid), "--output", str(output), "--threshold", "50", "--test", str(test)]
    assert calibrate_command.run(parser.parse_args(arguments)) == 0
    printed = capsys.readouterr().out
    assert "fitted on 60 sentences by sTU" in printed
    assert "expected calibration error" in printed
    assert "may be less true" not in printed
    assert read_calibration(output).threshold == 50
    arguments[-1] = str(runs / "student" / "test.jsonl")
    assert calibrate_command.run(parser.parse_args(arguments)) == 0
    assert (
        "the calibration was fitted on single, not student,decoding=mode: p_bad may be less true"
        in capsys.readouterr().out
    )
