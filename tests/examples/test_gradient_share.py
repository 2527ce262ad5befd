"""The analysis of gradients: shares as in the definitions, a descent that gets there, and the whole program."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import dense_objectives as dense
import numpy as np
import pytest
import torch
from scipy.special import polygamma
from torch import Tensor

import ednd_nmt
from ednd_nmt import EnsembleStatistics
from examples.gradient_share.__main__ import main
from examples.gradient_share.analysis import (
    GROUPS,
    OBJECTIVES,
    Objective,
    gradient,
    group_shares,
    mistaken_student,
    sample_ensemble,
    train,
    uniform_student,
)

DENSE: dict[str, Objective] = {
    "likelihood": dense.likelihood,
    "proxy, forward KL": dense.forward_kl,
    "proxy, reverse KL": dense.reverse_kl,
}


def test_without_noise_the_members_are_the_distribution_asked_for() -> None:
    statistics = sample_ensemble(5, 2, 1, top=0.7, spread=0.0)
    tail = 0.3 * np.array([1, 1 / 2, 1 / 3, 1 / 4]) / (25 / 12)
    np.testing.assert_allclose(statistics.mean, [[0.7, *tail]] * 2)
    assert statistics.mkl.max() < 1e-12


@pytest.mark.parametrize("start", [uniform_student, mistaken_student])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_gradients_are_those_of_the_definition(
    objective: str, start: Callable[[EnsembleStatistics], Tensor]
) -> None:
    statistics = sample_ensemble(30, 3, 1)
    logits = start(statistics)
    expected = gradient(DENSE[objective], logits, statistics)
    torch.testing.assert_close(
        gradient(OBJECTIVES[objective], logits, statistics), expected, rtol=1e-6, atol=1e-8
    )


def test_shares_are_parts_of_the_absolute_gradient() -> None:
    slope = torch.tensor([[-6.0, *[1.0] * 9, *[-0.5] * 10]])
    shares = group_shares(slope)
    assert list(shares) == list(GROUPS)
    torch.testing.assert_close(torch.cat(list(shares.values())), torch.tensor([0.3, 0.45, 0.25]))


def test_only_the_reverse_divergence_keeps_the_share_of_the_top_class() -> None:
    few, many = (
        {
            name: float(
                group_shares(gradient(f, uniform_student(statistics), statistics))["top class"].mean()
            )
            for name, f in OBJECTIVES.items()
        }
        for statistics in (sample_ensemble(100, 4, 1), sample_ensemble(10000, 4, 1))
    )
    assert many["likelihood"] < few["likelihood"] / 50
    assert many["proxy, forward KL"] < few["proxy, forward KL"] / 50
    assert many["proxy, reverse KL"] > 0.9 * few["proxy, reverse KL"]


def test_the_share_of_the_reverse_divergence_has_a_closed_form_at_the_start() -> None:
    classes = 50
    statistics = sample_ensemble(classes, 1, 1)
    mean, precision = (
        statistics.mean[0].numpy(),
        float(ednd_nmt.proxy_target(statistics).precision),
    )
    slope = (1 / precision - mean) * polygamma(1, 2)
    slope += (1 - classes / precision) * polygamma(1, 2 * classes)
    found = group_shares(gradient(ednd_nmt.reverse_kl_loss, uniform_student(statistics), statistics))
    assert float(found["top class"]) == pytest.approx(abs(slope[0]) / abs(slope).sum(), rel=1e-9)


def test_the_mistaken_student_is_wrong_about_two_classes_only() -> None:
    statistics = sample_ensemble(20, 2, 1)
    logits = mistaken_student(statistics)
    torch.testing.assert_close(logits.softmax(-1)[:, 2:], statistics.mean[:, 2:])
    torch.testing.assert_close(logits.softmax(-1)[:, :2], statistics.mean[:, :2].flip(-1))


def test_a_descent_ends_at_the_target_and_the_likelihood_learns_the_top_class_last() -> None:
    statistics = sample_ensemble(1000, 1, 1)
    stages = {name: train(objective, statistics, 60) for name, objective in OBJECTIVES.items()}
    learnt = {
        name: next(stage.update for stage in course if stage.top_probability > 0.5)
        for name, course in stages.items()
    }
    assert learnt["proxy, reverse KL"] < learnt["proxy, forward KL"] < learnt["likelihood"]
    start, end = (stages["proxy, forward KL"][place] for place in (0, -1))
    assert end.divergence < 0.05 * start.divergence
    assert start.top_probability == pytest.approx(1 / 1000)


@pytest.mark.parametrize("figure", [False, True])
def test_the_program_writes_what_it_promises(tmp_path: Path, figure: bool) -> None:
    if figure and importlib.util.find_spec("matplotlib") is None:
        pytest.skip("the extra `plots` is not installed")
    options = ["--classes", "10", "40", "--training-classes", "40", "--tokens", "2", "--updates", "4"]
    assert main([*options, "--output", str(tmp_path), *([] if figure else ["--no-figure"])]) == 0
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert len(results["by_classes"]) == 2 * 2 * 3
    assert all(sum(point["shares"].values()) == pytest.approx(1) for point in results["by_classes"])
    assert results["signature"].startswith("members:10|top:0.9|spread:1|tokens:2|updates:4|")
    tables = (tmp_path / "tables.md").read_text(encoding="utf-8")
    assert tables.count("| 40 |") == 2
    assert results["signature"] in tables
    assert (tmp_path / "gradient_share.svg").exists() == (tmp_path / "gradient_share.png").exists() == figure


def test_one_class_is_no_choice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--classes", "1", "--output", str(tmp_path)])
    assert "--classes: give at least 2, not 1" in capsys.readouterr().err
