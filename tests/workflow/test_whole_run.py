"""The workflow run to its end in miniature, on text of one's own, and then a study in the folder of that finished run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from miniature_workflow import MINIATURE, needs_snakemake, own_text, planned, snakemake

from examples.study.tables import tables

STUDY_SNAKEFILE = Path(__file__).resolve().parents[2] / "examples" / "study" / "Snakefile"

MINIATURE_STUDY = """
study:
  seeds: [1]
  threads: 1
  keep: last
  common:
    - --encoder-layers 1 --encoder-embed-dim 16 --encoder-ffn-embed-dim 16 --encoder-attention-heads 2
    - --decoder-layers 1 --decoder-embed-dim 16 --decoder-ffn-embed-dim 16 --decoder-attention-heads 2
    - --share-decoder-input-output-embed --no-epoch-checkpoints --num-workers 0
    - --optimizer adam --lr 1e-2 --max-tokens 1000 --max-update 4 --log-interval 1
  baselines:
    mc_dropout: {members: [1, 1], options: [--retain-dropout]}
  starts:
    pair: {members: [1, 2]}
  again:
    pair_no_tail: {student: pair, options: [--uncertainty-offset 0]}
  students:
    pair:
      - --arch dirichlet_transformer --criterion rkl_dirichlet_proxy_distillation --finetune-from-model study/starts/pair.pt
      - --encoder-embed-dim 32 --encoder-ffn-embed-dim 32 --encoder-attention-heads 4 --encoder-learned-pos
      - --decoder-embed-dim 32 --decoder-ffn-embed-dim 32 --decoder-attention-heads 4 --decoder-learned-pos
    end: [--arch transformer --finetune-from-model members/1/model.pt --criterion forward_kl_mean_distillation]
"""

pytestmark = [needs_snakemake, pytest.mark.slow(seconds=150)]


class Run(NamedTuple):
    """A run's folder and its configuration."""

    folder: Path
    configuration: Path

    def lines(self, name: str) -> list[str]:
        return (self.folder / name).read_text(encoding="utf-8").splitlines()

    def sources(self, name: str) -> list[str]:
        """The sentences of a set that the student has translated."""
        records: list[dict[str, Any]] = [
            json.loads(line) for line in self.lines(f"translations/student/{name}.jsonl")
        ]
        return [record["source"] for record in records if "source" in record]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The workflow's, from nothing to its end."""
    parent = tmp_path_factory.mktemp("whole")
    run = Run(parent / "a folder; with $(odd) 'name'", parent / "miniature.yaml")
    run.folder.mkdir()
    own_text(run.folder)
    run.configuration.write_text(MINIATURE, encoding="utf-8")
    result = snakemake(run.folder, run.configuration, "--quiet", "all", "--scheduler", "greedy")
    assert result.returncode == 0, result.stderr
    return run


def test_every_system_is_evaluated_and_shown(run: Run) -> None:
    results = json.loads((run.folder / "results.json").read_text(encoding="utf-8"))
    assert {"member-1", "member-2", "ensemble", "student"} <= set(results["systems"])
    assert (run.folder / "report.html").stat().st_size > 100_000


def test_the_student_is_trained_on_translations_and_references(run: Run) -> None:
    sources, students = (len(run.lines(name)) for name in ("pieces/train.en", "transfer/mixed/train.en"))
    assert 2 * sources < students <= 3 * sources  # up to two translations, and the references
    assert 0 < sources < len(run.lines("corpus/train.en"))  # some are out of the limits


def test_the_dictionaries_are_those_of_their_languages(run: Run) -> None:
    english, german = (run.lines(f"data/dict.{language}.txt") for language in ("en", "de"))
    assert any(line.startswith("▁The ") for line in english)
    assert not any(line.startswith("▁The ") for line in german)


def test_the_students_folder_says_how_text_is_prepared(run: Run) -> None:
    preparation = json.loads((run.folder / "student" / "model.json").read_text(encoding="utf-8"))
    assert preparation["plain_punctuation"]
    assert preparation["normalise_punctuation"]
    assert preparation["tokenizer"] == "moses"


def test_records_show_the_text_that_was_translated(run: Run) -> None:
    raw = run.lines("corpus/test.en")
    assert run.sources("test") == raw
    permuted = run.sources("permuted")
    assert all(shown != text for shown, text in zip(permuted, raw, strict=True))
    joined = "".join(run.lines("pieces/shifted/permuted.en")[0].split())
    assert permuted[0].replace(" ", "") == joined.replace("▁", "")


def test_what_acting_translates_is_within_the_limits(run: Run) -> None:
    limited = snakemake(run.folder, run.configuration, "--", "text/valid.en")
    assert limited.returncode == 0, limited.stderr
    text = run.lines("text/valid.en")
    uncut = (run.lines(f"pieces/whole/valid.{language}") for language in ("en", "de"))
    lengths = [sorted(len(side.split()) for side in pair) for pair in zip(*uncut, strict=True)]
    assert len(text) == len(run.lines("pieces/valid.en"))
    assert text == [
        line
        for line, (shorter, longer) in zip(run.lines("corpus/valid.en"), lengths, strict=True)
        if shorter > 0 and longer <= min(60, 1.075 * shorter)
    ]


def test_a_finished_run_has_nothing_to_do(run: Run) -> None:
    again = snakemake(run.folder, run.configuration, "--dry-run")
    assert "Nothing to be done" in again.stdout + again.stderr


def test_the_study_of_a_finished_run_trains_its_students_alone(run: Run, tmp_path: Path) -> None:
    """A student that begins with two members, measured in two ways, and one that is no Dirichlet; then a second seed."""
    study = tmp_path / "study.yaml"
    study.write_text(MINIATURE_STUDY, encoding="utf-8")

    def in_study(*arguments: str) -> subprocess.CompletedProcess[str]:
        own = [str(study), "--rerun-triggers", "mtime", "--scheduler", "greedy", *arguments]
        return snakemake(run.folder, run.configuration, *own, snakefile=STUDY_SNAKEFILE)

    sets = ["test", "german", "permuted"]
    students = {"student_of_study": 2, "translate_of_study": 3 * len(sets)}
    students |= {"evaluate_study": 1, "tables_of_study": 1, "study": 1}
    once = {"translate_of_baseline": len(sets), "start_of_study": 1}
    assert planned(in_study("--dry-run")) == students | once
    result = in_study("--quiet", "all")
    assert result.returncode == 0, result.stderr
    results = json.loads((run.folder / "study" / "results.json").read_text(encoding="utf-8"))
    dirichlet = {"pair-1", "pair_no_tail-1"}
    assert set(results["systems"]) == {"member-1", "ensemble", "mc_dropout", "end-1"} | dirichlet
    assert (run.folder / "study" / "tables.md").read_text(encoding="utf-8") == tables(results)
    knowing = {
        score["system"]
        for score in results["scores"]
        if (score["figure"], score["measure"]) == ("ROC-AUC", "MI")
    }
    # EnD is a single model that knows no mutual information.
    assert knowing == {"ensemble", "mc_dropout"} | dirichlet

    finished = in_study("--dry-run")
    assert "Nothing to be done" in finished.stdout + finished.stderr

    study.write_text(MINIATURE_STUDY.replace("seeds: [1]", "seeds: [1, 2]"), encoding="utf-8")
    assert planned(in_study("--dry-run")) == students
