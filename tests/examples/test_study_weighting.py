"""The table of weightings, against weights written out here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from made_up_runs import write_runs
from sklearn.metrics import roc_auc_score

from ednd_nmt.record_reader import read_records
from examples.study.weighting import WEIGHTINGS, main

STUDY = Path(__file__).resolve().parents[2] / "examples" / "study"


def uncertainty(path: Path, weighting: str) -> list[float]:
    """sTU of the sentences of a file under three of the weightings."""
    found = []
    for sentence in read_records(path)[1]:
        values = np.array([hypothesis.measures["sTU"] for hypothesis in sentence.hypotheses])
        scores = np.array([hypothesis.log_probability for hypothesis in sentence.hypotheses])
        weights = {
            "best alone": np.eye(len(scores))[0],
            "posterior, T = 2": np.exp(scores / 2),
            "uniform": np.ones(len(scores)),
        }[weighting]
        found.append(float(weights @ values / weights.sum()))
    return found


@pytest.mark.slow
def test_every_weighting_has_its_figures(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs")
    options = ["--resamples", "10", "--output", str(tmp_path / "made")]
    assert main([f"student={runs / 'student'}", f"single={runs / 'single'}", *options]) == 0
    results = json.loads((tmp_path / "made/weighting.json").read_text(encoding="utf-8"))
    assert list(results) == list(WEIGHTINGS)
    for weighting in ("best alone", "posterior, T = 2", "uniform"):
        inside = uncertainty(runs / "student/test.jsonl", weighting)
        outside = uncertainty(runs / "student/german.jsonl", weighting)
        (found,) = (
            score
            for score in results[weighting]
            if (score["system"], score["set"], score["measure"]) == ("student", "german", "sTU")
        )
        labels = np.r_[np.zeros(len(inside)), np.ones(len(outside))]
        assert found["score"] == pytest.approx(100 * roc_auc_score(labels, np.r_[inside, outside]), abs=1e-4)
    text = (tmp_path / "made/weighting.md").read_text(encoding="utf-8")
    assert "| single, sTU |" in text
    assert "| single, MI |" not in text  # a single model has none
