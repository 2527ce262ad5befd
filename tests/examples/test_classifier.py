"""The example of classifiers: its data, its figures against scikit-learn, and the whole program on one digit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss
from torch import nn

from examples.classifier.__main__ import main
from examples.classifier.data import Digits, draw_numbers, shifted_digits, split_digits
from examples.classifier.evaluation import Prediction, dirichlet_student, ensemble, figures, single_model


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_every_digit_is_in_one_part() -> None:
    training, test = split_digits(1000, seed=1)
    assert (len(training.labels), len(test.labels)) == (1000, 797)
    assert training.images.min() == 0
    assert training.images.max() == 1
    images = torch.cat([training.images, test.images]).flatten(1)
    assert len(images.unique(dim=0)) == 1797  # scikit-learn's digits are all different


def test_a_number_reads_from_left_to_right() -> None:
    images = torch.arange(10.0).reshape(10, 1, 1).expand(10, 8, 8)  # every pixel says which digit it is
    pixels, values = draw_numbers(Digits(images, torch.arange(10)), 3, 50, generator())
    hundreds, tens, ones = pixels.reshape(50, 3, 64)[..., 0].long().unbind(-1)
    torch.testing.assert_close(values, 100 * hundreds + 10 * tens + ones)
    assert len(values.unique()) > 30


def test_shifted_numbers_are_the_same_numbers() -> None:
    digits, _ = split_digits(100, seed=1)
    plain, values = draw_numbers(digits, 2, 5, generator())
    for shift, original in {"rotated": lambda x: x.rot90(-1, (-2, -1)), "inverted": lambda x: 1 - x}.items():
        pixels, same = draw_numbers(shifted_digits(digits, shift), 2, 5, generator())
        torch.testing.assert_close(original(pixels.reshape(5, 2, 8, 8)), plain.reshape(5, 2, 8, 8))
        assert torch.equal(values, same)


def test_figures_of_a_system() -> None:
    probability = [[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.1, 0.1, 0.8], [0.3, 0.4, 0.3]]
    log_probability = torch.tensor(probability, dtype=torch.float64).log()
    values = torch.tensor([0, 1, 2, 1])

    def system(pixels: torch.Tensor) -> Prediction:
        return Prediction(log_probability, {"TU": pixels[:, 0]})

    pixels = torch.tensor([[0.1], [0.9], [0.2], [0.3]])
    found = figures(system, pixels, values, {"far": pixels + 1, "near": pixels})
    assert found["accuracy"] == pytest.approx(100 * accuracy_score(values, log_probability.argmax(-1)))
    assert found["NLL"] == pytest.approx(log_loss(values, probability))
    assert found["ECE"] == pytest.approx(100 * (0.3 + 0.5 + 0.2 + 0.6) / 4, rel=1e-6)
    assert found["PRR by TU"] == pytest.approx(100)  # the one error is the least sure
    assert found["ROC-AUC far by TU"] == 100
    assert found["ROC-AUC near by TU"] == 50
    always_wrong = figures(system, pixels, torch.tensor([2, 2, 0, 0]), {})
    assert always_wrong["accuracy"] == 0
    assert "PRR by TU" not in always_wrong


def test_systems_have_the_measures_that_they_know() -> None:
    networks: list[nn.Module] = [nn.Linear(4, 3) for _ in range(2)]
    pixels = torch.rand(5, 4)
    one, both, student = single_model(networks[0]), ensemble(networks), dirichlet_student(networks[0])
    assert list(one(pixels).uncertainties) == ["TU"]
    assert list(both(pixels).uncertainties) == list(student(pixels).uncertainties) == ["TU", "MI", "MKL"]
    mean = sum(network(pixels).softmax(-1) for network in networks) / 2
    torch.testing.assert_close(both(pixels).log_probability.exp(), mean)
    torch.testing.assert_close(student(pixels).log_probability, one(pixels).log_probability)


def test_the_program_distils_an_ensemble(tmp_path: Path) -> None:
    options = [
        "--digits",
        "1",
        "--members",
        "2",
        "--student-seeds",
        "2",
        "--updates",
        "200",
        "--test-numbers",
        "500",
    ]
    assert main([*options, "--numbers", "2000", "--output", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert len(results["runs"]) == 2 + 1 + 4 * 2 * 2
    accuracy = {
        record["system"]: record["accuracy"] for record in results["runs"] if record["updates"] == 200
    }
    assert accuracy["ensemble"] > 90
    assert accuracy["proxy: reverse KL"] > 85
    assert all(
        ("PRR by MI" in record) == (record["system"] not in ("single model", "EnD: KL to the mean"))
        for record in results["runs"]
    )
    text = (tmp_path / "tables.md").read_text(encoding="utf-8")
    assert "K = 10\n" in text
    assert results["signature"] in text
