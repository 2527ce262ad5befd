#!/usr/bin/env python3
"""What an experiment costs before it is run: disk, GPU hours, hours and money of every stage of its workflow.

python scripts/plan_experiment.py examples/wmt17_ende/config.yaml --gpus 1 8 80

The sizes of the trainings are read from the configuration; what a GPU gets done is an argument. The defaults are not
measurements of this package on a GPU, of which there are none: they are figures that others have published and
assumptions, each named at the end of what is printed. Measure your own (fairseq logs ``wps``) and give them.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ednd_nmt.errors import UserError, exit_status
from scripts.workflow.configuration import check

NVIDIA = "published: NVIDIA DeepLearningExamples, PyTorch/Translation/Transformer (Transformer-big)"
QUICK = "measured on the files of this package's quick start"
GIGABYTE = 1e9


@dataclasses.dataclass(frozen=True)
class Figure:
    """A number that the plan depends on, and whose it is."""

    default: float
    meaning: str
    source: str


FIGURES = {
    "training-tokens-per-second": Figure(
        29385,
        "target tokens that one GPU trains on in a second",
        f"{NVIDIA}: 235,077 on 8 V100, mixed precision",
    ),
    "decoding-tokens-per-second": Figure(
        6010, "target tokens that one model writes on one GPU in a second", f"{NVIDIA}: V100, fp16, beam 4"
    ),
    "forward-share": Figure(
        1 / 3,
        "time of a forward pass as a share of a training step's",
        "assumed: backward costs twice forward",
    ),
    "price-per-gpu-hour": Figure(
        3.0, "in the currency of your choice", "assumed; list prices differ several times over"
    ),
    "pairs": Figure(
        3960793,
        "training pairs within the limits",
        "published: fairseq issue #132, of 4,544,200, the same preparation",
    ),
    "raw-pairs": Figure(
        4590101, "pairs before the limits, validation included", "4,544,200 (as above) are 99 % of them"
    ),
    "tokens-per-sentence": Figure(30, "target pieces, EOS included", "assumed"),
    "archives-gb": Figure(2.1, "size of what is fetched", "the table of archives"),
    "bytes-per-token": Figure(5.0, "of raw text, per piece", QUICK),
    "piece-bytes-per-token": Figure(7.3, "of text in pieces", QUICK),
    "shard-bytes-per-token": Figure(45, "of a shard of translations, per target piece", QUICK),
    "record-bytes-per-sentence": Figure(10000, "of an uncertainty file with five hypotheses", QUICK),
    "stored-bytes-per-token": Figure(
        408, "of stored targets, 64 classes kept", "README: 24 bytes a token and 6 a class"
    ),
    "million-parameters": Figure(
        258, "of one model", "computed: Transformer-big, 40,000 classes a side, tied output"
    ),
    "bytes-per-parameter": Figure(12, "of a checkpoint", "float32 weights and the two moments of Adam"),
    "checkpoints": Figure(
        4, "kept of a training: best, last, one between, and the copy that is used", "the workflow"
    ),
}

HELD_OUT = {
    "test": 3003,
    "khresmoi": 1500,
    "german": 3003,
    "french": 3003,
    "permuted": 3003,
    "librispeech": 2620,
}
"""Sentences of the sets; another set is taken to be as large as the test set."""


@dataclasses.dataclass(frozen=True)
class Training:
    """Size of a training as a configuration has it: full batches of so many tokens, on so many GPUs."""

    updates: int
    tokens_per_gpu: int
    gpus: int

    @property
    def tokens(self) -> int:
        return self.updates * self.tokens_per_gpu * self.gpus


@dataclasses.dataclass(frozen=True)
class Stage:
    """Jobs of one kind that may run side by side; the GPUs of a job share its work without loss."""

    name: str
    jobs: int
    gpus_per_job: int
    gpu_hours: float
    gigabytes: float

    def hours(self, gpus: int) -> float:
        """From the first job's start to the last one's end where there are ``gpus``."""
        if not self.gpus_per_job:
            return 0.0
        together = min(self.gpus_per_job, gpus)
        rounds = math.ceil(self.jobs / (gpus // together))
        return rounds * self.gpu_hours / self.jobs / together


def training(config: Mapping[str, Any], section: str) -> Training:
    """The size of a training.

    Raises:
        UserError: the options of the section have no ``--max-update`` or ``--max-tokens``, or no number after them.
    """
    words = [word for line in config[section]["options"] for word in shlex.split(line)]

    def option(name: str, default: int | None = None) -> int:
        if name in words:
            value = "".join(words[words.index(name) + 1 :][:1])
            if not value.isdecimal():
                raise UserError(f"The section {section} of the configuration has no number after {name}.")
            return int(value)
        if default is None:
            raise UserError(
                f"The section {section} of the configuration has no {name}, which its cost depends on."
            )
        return default

    gpus = config.get("resources", {}).get(section, {}).get("gpu", 1)
    return Training(option("--max-update"), option("--max-tokens") * option("--update-freq", 1), gpus)


def plan(config: Mapping[str, Any], figures: Mapping[str, float]) -> list[Stage]:
    """The stages of the workflow, in order."""
    members, shards, kept = config["members"], config["transfer"]["shards"], config["transfer"]["store_top_k"]
    tokens = figures["pairs"] * figures["tokens-per-sentence"]
    raw = figures["raw-pairs"] * figures["tokens-per-sentence"]
    trained_per_hour = figures["training-tokens-per-second"] * 3600
    written_per_hour = figures["decoding-tokens-per-second"] * 3600
    forward = figures["forward-share"]
    checkpoints = (
        figures["million-parameters"] * 1e6 * figures["bytes-per-parameter"] * figures["checkpoints"]
    )
    member, student = training(config, "member"), training(config, "student")
    # Both sides; 2 bytes a token in fairseq's files and 12 a sentence in their index.
    binarised = 2 * (2 * tokens + 12 * figures["pairs"])
    pieces = figures["piece-bytes-per-token"]
    sets = ["test", *config["shifted"]]
    sentences = sum(HELD_OUT.get(name, HELD_OUT["test"]) for name in sets)
    acting = (
        ("ensemble", "student") if "acting" in config else ()
    )  # translate the validation set: every hundredth pair
    valid = figures["pairs"] / 99 if acting else 0
    # Member 1 and the student see all sets, the other members the test set.
    alone = 2 * sentences + (members - 1) * HELD_OUT["test"] + valid
    together = sentences + valid
    decoded = (alone + members * together) * figures["tokens-per-sentence"]
    records = (alone + together) * figures["record-bytes-per-sentence"]
    stages = [
        ("archives", 1, 0, 0.0, figures["archives-gb"] * GIGABYTE),
        (
            "corpus, pieces, data",
            1,
            0,
            0.0,
            2 * raw * (figures["bytes-per-token"] + pieces) + 2 * tokens * pieces + binarised,
        ),
        ("members", members, member.gpus, members * member.tokens / trained_per_hour, members * checkpoints),
        (
            "transfer set",
            shards,
            1,
            members * tokens / written_per_hour,
            tokens * figures["shard-bytes-per-token"] + 2 * tokens * pieces + binarised,
        ),
    ]
    if kept:
        size = tokens * figures["stored-bytes-per-token"] * kept / 64
        stages.append(("stored targets", 1, 1, members * forward * tokens / trained_per_hour, size))
    teacher = 0.0 if kept else members * forward
    stages += [
        ("student", 1, student.gpus, (1 + teacher) * student.tokens / trained_per_hour, checkpoints),
        ("translations", len(sets) * 3 + members - 1 + len(acting), 1, decoded / written_per_hour, records),
    ]
    return [Stage(name, jobs, each, hours, size / GIGABYTE) for name, jobs, each, hours, size in stages]


def table(stages: Sequence[Stage], gpus: Sequence[int], price: float) -> list[str]:
    """The plan as a Markdown table."""
    heads = [
        "stage",
        "jobs",
        "GPUs each",
        "GPU hours",
        *(f"hours on {number}" for number in gpus),
        "cost",
        "disk, GB",
    ]
    rows = [
        [
            stage.name,
            str(stage.jobs),
            str(stage.gpus_per_job),
            number(stage.gpu_hours),
            *(number(stage.hours(count)) for count in gpus),
            number(stage.gpu_hours * price),
            number(stage.gigabytes),
        ]
        for stage in stages
    ]
    hours = sum(stage.gpu_hours for stage in stages)
    walls = [number(sum(stage.hours(count) for stage in stages)) for count in gpus]
    disk = number(sum(stage.gigabytes for stage in stages))
    rows.append(["all", "", "", number(hours), *walls, number(hours * price), disk])
    rule = ["---", *("---:" for _ in heads[1:])]
    return [f"| {' | '.join(row)} |" for row in [heads, rule, *rows]]


def number(value: float) -> str:
    """Two significant digits are more than such a plan is right to."""
    if not value:
        return ""
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, help="configuration of the workflow")
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 8, 80], help="sizes of machine or cluster")
    for name, figure in FIGURES.items():
        parser.add_argument(
            f"--{name}",
            type=float,
            default=figure.default,
            metavar="X",
            help=f"{figure.meaning} (default: {figure.default:g}; {figure.source})".replace("%", "%%"),
        )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 2 for what the user can mend."""
    return exit_status(partial(_print_plan, parse_arguments(arguments)))


def _print_plan(options: argparse.Namespace) -> None:
    figures = {name: getattr(options, name.replace("-", "_")) for name in FIGURES}
    for name, value in [*figures.items(), *(("gpus", count) for count in options.gpus)]:
        if not value > 0:
            raise UserError(f"--{name} must be more than 0, not {value:g}.")
    try:
        config = yaml.safe_load(options.config.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{options.config} is no configuration of the workflow ({reason}).") from error
    check(config)
    stages = plan(config, figures)
    print("\n".join(table(stages, options.gpus, figures["price-per-gpu-hour"])))
    print("\nIt rests on:")
    for name, figure in FIGURES.items():
        source = figure.source if figures[name] == figure.default else "given"
        print(f"- {name} {figures[name]:,.7g}: {figure.meaning} ({source})")
    print(
        "- batches count as full, GPUs of a job and jobs side by side as not slowing each other, an ensemble's decoding as "
        "its members' one after the other; stages on CPUs, the objective itself and the recording of uncertainties as free"
    )


if __name__ == "__main__":
    sys.exit(main())
