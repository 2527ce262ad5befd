"""The example of classifiers: its data, its figures against scikit-learn, and the whole program on one digit."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss
from torch import nn

import ednd_nmt
from examples.classifier.__main__ import main
from examples.classifier.data import Digits, draw_numbers, shifted_digits, split_digits
from examples.classifier.evaluation import (
    Prediction,
    dirichlet_student,
    ensemble,
    evidence,
    figures,
    single_model,
)
from examples.classifier.experiment import first_gradient
from examples.classifier.tables import main as fill
from examples.classifier.tables import tables
from examples.classifier.training import ANNEALED, BATCH, OBJECTIVES, annealed_likelihood_loss, new_network

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "classifier"


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_every_digit_is_in_one_part() -> None:
    parts = split_digits(seed=1)
    assert {name: len(part.labels) for name, part in parts.items()} == {
        "labelled": 300,
        "unlabelled": 800,
        "validation": 300,
        "test": 397,
    }
    images = torch.cat([part.images for part in parts.values()]).flatten(1)
    assert images.min() == 0
    assert images.max() == 1
    assert len(images.unique(dim=0)) == 1797  # scikit-learn's digits are all different


def test_a_number_reads_from_left_to_right() -> None:
    images = torch.arange(10.0).reshape(10, 1, 1).expand(10, 8, 8)  # every pixel says which digit it is
    pixels, values = draw_numbers(Digits(images, torch.arange(10)), 3, 50, generator())
    hundreds, tens, ones = pixels.reshape(50, 3, 64)[..., 0].long().unbind(-1)
    torch.testing.assert_close(values, 100 * hundreds + 10 * tens + ones)
    assert len(values.unique()) > 30


def test_shifts_change_what_they_say() -> None:
    digits = split_digits(seed=1)["labelled"]
    plain = digits.images.flatten(1)
    images = {
        shift: shifted_digits(digits, shift, generator()).images.flatten(1)
        for shift in ("blended", "shuffled", "noisy")
    }
    partners = 2 * images["blended"] - plain
    assert torch.cdist(partners, plain).min(-1).values.max() < 1e-3  # each is a digit of the set
    torch.testing.assert_close(images["shuffled"].sort(-1).values, plain.sort(-1).values)
    assert (images["shuffled"] != plain).float().mean() > 0.3
    noise = images["noisy"] - plain
    assert noise.mean() == pytest.approx(0, abs=0.01)
    assert noise.std() == pytest.approx(0.3, rel=0.02)


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


def test_evidence_is_what_a_student_adds_to_a_flat_dirichlet() -> None:
    logits = torch.tensor([[1.0, 2.0], [-30.0, -30.0], [0.0, 0.0]])
    assert evidence(nn.Identity(), logits) == pytest.approx(2)


def test_the_first_gradient_against_the_closed_form() -> None:
    """Of KL(mean of members || softmax z): softmax z less the mean."""
    members = torch.randn(2, 7, 5, generator=generator())
    logits = torch.randn(7, 5, generator=generator())
    mean = members.softmax(-1).mean(0)
    gradient = (logits.softmax(-1) - mean).numpy()
    size = np.abs(gradient)
    top = size[np.arange(7), mean.argmax(-1).numpy()]
    found = first_gradient(ednd_nmt.mean_kl_loss, logits, ednd_nmt.ensemble_statistics(members))
    assert found["norm"] == pytest.approx(np.linalg.norm(gradient, axis=-1).mean(), rel=1e-5)
    assert found["top class"] == pytest.approx(100 * (top / size.sum(-1)).mean(), rel=1e-5)
    assert found["lowered"] == pytest.approx(50, rel=1e-4)  # it sums to 0


@pytest.mark.parametrize(("update", "temperature"), [(0, 10.0), (3, 5.5), (6, 1.0), (9, 1.0)])
def test_the_annealed_likelihood_against_the_density_of_pytorch(update: int, temperature: float) -> None:
    """Ten updates, of which the first six anneal: T^2 times the softened members' density."""
    members, student = [new_network(1, seed) for seed in range(3)], new_network(1, 9)
    pixels = torch.rand(50, 64, generator=generator())
    loss = annealed_likelihood_loss(members, pixels, updates=10)(student, generator(), update)
    batch = pixels[torch.randint(50, (BATCH,), generator=generator())]
    density = torch.distributions.Dirichlet((student(batch).double() / temperature).exp() + 1)
    softened = torch.stack([(member(batch).double() / temperature).softmax(-1) for member in members])
    expected = -(temperature**2) * density.log_prob(softened).mean()
    torch.testing.assert_close(loss.double(), expected, rtol=1e-4, atol=1e-4)


def test_the_program_distils_an_ensemble(tmp_path: Path) -> None:
    options = "--digits 1 --members 2 --student-seeds 2 --member-updates 200 --updates 100 --numbers 1000 --test-numbers 300"
    assert main([*options.split(), "--output", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert len(results["runs"]) == 2 + 1 + (4 * 2 + 1) * 2
    assert len(results["choices"]) == (4 * 2 + 1) * 3
    assert len(results["gradients"]) == 4 * 2
    accuracy = {(record["system"], record["start"]): record["accuracy"] for record in results["runs"]}
    assert accuracy["ensemble", None] > 85
    assert accuracy["proxy: reverse KL", "random"] > 80
    assert accuracy["proxy: reverse KL", "member"] > 85
    for system, start in itertools.product(OBJECTIVES, ("random", "member")):
        if (system, start) == (ANNEALED, "member"):
            continue
        choices = [c for c in results["choices"] if (c["system"], c["start"]) == (system, start)]
        best = min(choices, key=lambda choice: choice["validation NLL"])
        assert [choice for choice in choices if choice["chosen"]] == [best]
        runs = [r for r in results["runs"] if (r["system"], r["start"]) == (system, start)]
        assert {run["learning_rate"] for run in runs} == {best["learning_rate"]}
        assert [run["seed"] for run in runs] == [0, 1]
    for record in results["runs"]:
        categorical = record["system"] in ("single model", "EnD: KL to the mean")
        assert ("PRR by MI" in record) == (not categorical)
        assert ("evidence" in record) == (record["system"] not in ("ensemble",) and not categorical)
    assert (tmp_path / "tables.md").read_text(encoding="utf-8") == tables(results)

    results["runs"][0]["accuracy"] = 12.5  # to be known again
    (tmp_path / "results.json").write_text(json.dumps(results), encoding="utf-8")
    assert main([*options.split(), "--output", str(tmp_path)]) == 0
    assert (
        json.loads((tmp_path / "results.json").read_text(encoding="utf-8")) == results
    )  # nothing done again
    other = options.replace("--updates 100", "--updates 2").split()
    assert main([*other, "--output", str(tmp_path)]) == 0
    assert "12.5" not in (tmp_path / "tables.md").read_text(encoding="utf-8")


def test_tables_average_over_seeds() -> None:
    def run(seed: int, accuracy: float, **more: Any) -> dict[str, Any]:
        return {"classes": 100, "system": "S", "start": "random", "seed": seed, "accuracy": accuracy, **more}

    choice = {"classes": 100, "system": "S", "start": "random"}
    text = tables(
        {
            "signature": "updates:7",
            "runs": [run(0, 90.0, evidence=1e3), run(1, 92.0, evidence=3e3)],
            "choices": [
                {**choice, "learning_rate": 0.01, "validation NLL": 0.5, "chosen": True},
                {**choice, "learning_rate": 0.001, "validation NLL": 0.75, "chosen": False},
            ],
            "gradients": [{**choice, "norm": 12.345, "top class": 3.21, "lowered": 96.0}],
        }
    )
    assert "| S, from a random start | 91.0 ±1.4 |\n" in text
    assert "| S, from a random start | 91.0 ±1.4 | - |" in text
    assert "| 2.0e+03 |\n" in text
    assert "|  | K = 100, 0.001 | K = 100, 0.01 |" in text
    assert "| S, from a random start | 0.75 | **0.50** |" in text
    assert "| S, from a random start | 100 | 12 | 3.2 | 96.0 |" in text
    assert "`updates:7`" in text


def test_the_readme_shows_the_tables_of_its_results(tmp_path: Path) -> None:
    shutil.copyfile(EXAMPLE / "README.md", tmp_path / "README.md")
    assert fill([str(EXAMPLE / "results.json"), "--readme", str(tmp_path / "README.md")]) == 0
    assert (tmp_path / "README.md").read_bytes() == (EXAMPLE / "README.md").read_bytes()


def test_a_page_without_a_place_for_the_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "README.md"
    page.write_text("nothing here\n", encoding="utf-8")
    assert fill([str(EXAMPLE / "results.json"), "--readme", str(page)]) == 2
    assert "no place for tables" in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == "nothing here\n"
