"""The paper's experiment as Snakemake reads it: ten members, and what each job asks of a scheduler."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from miniature_workflow import needs_snakemake, snakemake

from scripts import draw_workflow
from scripts.wmt17.build import HELD_OUT, SHIFTED

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "examples" / "wmt17_ende" / "config.yaml"


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    return content


def option(config: dict[str, Any], section: str, name: str) -> str:
    words = [word for line in config[section]["options"] for word in shlex.split(line)]
    return words[words.index(name) + 1]


def test_the_header_says_the_command_that_runs_it() -> None:
    header = CONFIG.read_text(encoding="utf-8").partition("\n\n")[0]
    assert (
        "snakemake -s examples/debian_ende/Snakefile --configfile examples/wmt17_ende/config.yaml" in header
    )


def test_the_hyper_parameters_are_the_papers(config: dict[str, Any]) -> None:
    assert config["members"] == 10
    assert config["pieces"]["size"] == 40000
    assert config["pieces"]["limits"] == {"length": 250, "ratio": 1.5}
    expected = {
        "member": {
            "--arch": "transformer_wmt_en_de_big", "--lr": "5e-4", "--lr-scheduler": "inverse_sqrt",
            "--warmup-updates": "4000", "--dropout": "0.1", "--weight-decay": "1e-4", "--label-smoothing": "0.1",
            "--adam-betas": "(0.9, 0.98)", "--max-tokens": "4096",
        },
        "student": {
            "--arch": "dirichlet_transformer_wmt_en_de_big", "--lr": "5e-4", "--lr-scheduler": "inverse_sqrt",
            "--warmup-updates": "4000", "--dropout": "0.2", "--weight-decay": "1e-4", "--clip-norm": "10",
            "--adam-betas": "(0.9, 0.98)", "--max-tokens": "1024", "--update-freq": "32", "--max-update": "20000",
            "--criterion": "rkl_dirichlet_proxy_distillation", "--target-concentration": "mkl",
        },
        "transfer": {"--beam": "5"},
    }  # fmt: skip
    for section, options in expected.items():
        assert {name: option(config, section, name) for name in options} == options


def test_its_sets_are_those_that_the_corpus_has(config: dict[str, Any]) -> None:
    assert config["shifted"].keys() == SHIFTED.keys()
    assert "test" in HELD_OUT


@needs_snakemake
@pytest.mark.slow
def test_ten_members_are_planned_from_nothing_with_what_they_need(tmp_path: Path) -> None:
    arguments = [
        "--config",
        "gpu=true",
        "--resources",
        "gpu=8",
        "--dry-run",
        "--printshellcmds",
        "--cores",
        "16",
    ]
    result = snakemake(tmp_path, CONFIG, *arguments)
    plan = result.stdout + result.stderr
    assert result.returncode == 0, plan[-2000:]
    counts = {match[1]: int(match[2]) for match in re.finditer(r"^(\w+) +(\d+)$", plan, re.MULTILINE)}
    assert counts["member"] == 10
    assert counts["shard"] == 64
    assert (
        counts["translate"] == 9 + 3 * 6 + 2
    )  # one member, the ensemble and the student see every set, two the valid one
    assert counts["calibrator"] == counts["decision"] == 2
    for system in ("ensemble", "student"):
        (command,) = re.findall(
            rf"Shell command: ([^\n]*--uncertainty-output translations/{system}/valid\.jsonl[^\n]*)", plan
        )
        # of the pairs within the limits, like the pieces
        assert "--raw-source text/valid.en --raw-reference text/valid.de" in command
    assert counts["dictionary_of_side"] == 2
    members = re.findall(r"rule member:.*?resources: ([^\n]*)\nShell command: ([^\n]*)", plan, re.DOTALL)
    assert len(members) == 10
    for resources, command in members:
        assert {"gpu=8", "runtime=4320", "mem_mb=64000"} <= set(resources.split(", "))
        assert command.endswith("--fp16")
    seeds = {re.search(r"--seed (\d+)", command)[1] for _, command in members}  # type: ignore[index]
    assert len(seeds) == 10
    student = re.search(r"rule student:.*?Shell command: ([^\n]*)", plan, re.DOTALL)
    assert student is not None
    assert ":".join(f"members/{number}/model.pt" for number in range(1, 11)) in student[1]


def test_the_picture_has_the_rules_with_the_number_of_their_jobs() -> None:
    text = (CONFIG.parent / "workflow.svg").read_text(encoding="utf-8")
    labels = re.findall(r"<text [^>]*>([^<]+)</text>", text)
    assert {"corpus", "member ×10", "shard ×64", "translate ×29", "student", "evaluate"} <= set(labels)
    rules = re.findall(
        r"^ *rule (\w+):", (ROOT / "examples/debian_ende/Snakefile").read_text("utf-8"), re.MULTILINE
    )
    shown = {label.partition(" ×")[0].replace(" ", "_") for label in labels}
    # without stored targets, and with a dictionary a side
    assert shown == {*rules, "encode_whole"} - {"stored_targets", "dictionary"}


def test_labels_of_a_picture_say_what_a_dry_run_counted() -> None:
    counts = draw_workflow.job_counts(
        "Job stats:\njob      count\n------  -------\nshard  64\nall       1\ntotal  65\n"
    )
    assert counts == {"shard": 64, "all": 1, "total": 65}
    graph = '0[label = "all", color = "0.1 0.6 0.85"];\n1[label = "shard", color = "0.7 0.6 0.85"];\n1 -> 0'
    drawn = draw_workflow.labelled(graph, counts)
    assert 'label = "all"' in drawn
    assert 'label = "shard ×64"' in drawn
    assert len(set(re.findall('color = "[^"]*"', drawn))) == 1
