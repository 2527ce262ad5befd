"""The plan of an experiment: sums by hand, and what it says of its figures."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from own_process import python

from scripts import plan_experiment
from scripts.plan_experiment import FIGURES, Stage, plan, training

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "examples" / "wmt17_ende" / "config.yaml"


@pytest.fixture
def config() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    return content


@pytest.fixture
def figures() -> dict[str, float]:
    return {name: figure.default for name, figure in FIGURES.items()}


def by_name(config: dict[str, Any], figures: dict[str, float]) -> dict[str, Stage]:
    return {stage.name: stage for stage in plan(config, figures)}


def test_the_hours_are_those_of_the_configurations_trainings(
    config: dict[str, Any], figures: dict[str, float]
) -> None:
    figures |= {"training-tokens-per-second": 1000, "decoding-tokens-per-second": 100, "forward-share": 0.25}
    stages = by_name(config, figures)
    assert stages["members"].gpu_hours == pytest.approx(10 * 100_000 * 4096 * 8 / 1000 / 3600)
    assert stages["student"].gpu_hours == pytest.approx(
        20_000 * 1024 * 32 * 8 * (1 + 10 * 0.25) / 1000 / 3600
    )
    tokens = figures["pairs"] * figures["tokens-per-sentence"]
    assert stages["transfer set"].gpu_hours == pytest.approx(tokens * 10 / 100 / 3600)
    assert "stored targets" not in stages
    assert stages["translations"].jobs == 9 + 3 * 6 + 2
    held_out = 3003 + 1500 + 3 * 3003 + 2620
    valid = figures["pairs"] / 99
    passes = 10 * (held_out + valid) + 2 * held_out + 9 * 3003 + valid  # of one model over a sentence
    assert stages["translations"].gpu_hours == pytest.approx(passes * 30 / 100 / 3600)


def test_stored_targets_take_the_members_out_of_the_students_training(
    config: dict[str, Any], figures: dict[str, float]
) -> None:
    online = by_name(config, figures)
    config["transfer"]["store_top_k"] = 128
    stored = by_name(config, figures)
    assert stored["student"].gpu_hours == pytest.approx(online["student"].gpu_hours / (1 + 10 / 3))
    tokens = figures["pairs"] * figures["tokens-per-sentence"]
    assert stored["stored targets"].gigabytes == pytest.approx(
        tokens * 2 * figures["stored-bytes-per-token"] / 1e9
    )


def test_the_corpus_was_counted_by_others_before_and_after_the_limits(figures: dict[str, float]) -> None:
    raw = int(figures["raw-pairs"])
    assert raw - raw // 100 == 4_544_200  # what fairseq's preparation trains on, by its log


@pytest.mark.parametrize(
    ("jobs", "each", "gpus", "hours"),
    [
        (10, 8, 1, 80.0),  # one after the other, each on the only one
        (10, 8, 8, 10.0),
        (10, 8, 16, 5.0),
        (10, 8, 80, 1.0),
        (10, 8, 24, 4.0),  # three at a time: four rounds
        (64, 1, 80, 1.25),
        (1, 8, 80, 10.0),
        (3, 0, 8, 0.0),
    ],
)
def test_hours_by_rounds_of_jobs(jobs: int, each: int, gpus: int, hours: float) -> None:
    assert Stage("s", jobs, each, 80.0, 0.0).hours(gpus) == pytest.approx(hours)


def test_parameters_and_checkpoints_are_those_of_the_architecture(figures: dict[str, float]) -> None:
    width, inner, classes = 1024, 4096, 40_000
    attention, feed, norm = 4 * (width * width + width), 2 * width * inner + width + inner, 2 * width
    encoder = 6 * (attention + feed + 2 * norm)
    decoder = 6 * (2 * attention + feed + 3 * norm)
    total = encoder + decoder + 2 * classes * width
    assert figures["million-parameters"] == pytest.approx(total / 1e6, abs=0.5)


def test_what_is_printed_sums_up_and_says_whose_the_figures_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert plan_experiment.main([str(CONFIG), "--gpus", "1", "8", "--price-per-gpu-hour", "2"]) == 0
    said = capsys.readouterr().out
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in said.splitlines() if line[:1] == "|"
    ]
    values = {row[0]: [float(cell.replace(",", "") or 0) for cell in row[3:]] for row in rows[2:]}
    total = values.pop("all")
    for column, value in enumerate(total):
        assert value == pytest.approx(sum(row[column] for row in values.values()), abs=3)
    assert total[3] == pytest.approx(2 * total[0], abs=2)  # the cost
    assert total[1] == pytest.approx(total[0], abs=1)  # hours on one GPU
    for name, figure in FIGURES.items():
        line = re.search(rf"^- {name} .*$", said, re.MULTILINE)
        assert line is not None
        assert line[0].endswith("(given)" if name == "price-per-gpu-hour" else f"({figure.source})")


def test_the_documented_plan_is_the_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    assert plan_experiment.main([str(CONFIG)]) == 0
    shown = capsys.readouterr().out.partition("\n\n")[0]
    assert shown in (CONFIG.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config: config["member"]["options"].clear(), "has no --max-update"),
        (
            lambda config: config["member"]["options"].insert(0, "--max-tokens"),
            "has no number after --max-tokens",
        ),
        (
            lambda config: config["transfer"].update(shard=3),
            "unknown key shard of transfer (did you mean 'shards'?)",
        ),
    ],
)
def test_a_configuration_that_does_not_say_enough(
    config: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Any, message: str
) -> None:
    changed = copy.deepcopy(config)
    change(changed)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(changed), encoding="utf-8")
    assert plan_experiment.main([str(tmp_path / "config.yaml")]) == 2
    assert message in capsys.readouterr().err


def test_faults_of_the_command_line_as_a_user_sees_them(tmp_path: Path) -> None:
    for arguments, message in (
        ([str(tmp_path / "none.yaml")], "No such file or directory; check this path."),
        ([str(CONFIG), "--gpus", "0"], "--gpus must"),
    ):
        result = python(ROOT / "scripts" / "plan_experiment.py", *arguments)
        assert result.returncode == 2
        assert message in result.stderr
        assert "Traceback" not in result.stderr


def test_the_quick_profile_has_a_size_too() -> None:
    quick = yaml.safe_load((ROOT / "examples/debian_ende/config/quick.yaml").read_text(encoding="utf-8"))
    assert training(quick, "member").tokens == 1650 * 2000
