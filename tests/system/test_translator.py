"""Raw text through a model folder: the Python interface and the commands over it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from toy_reversal import ToyReversal

from ednd_nmt.errors import UserError
from ednd_nmt.model_folder import Preparation, pack
from ednd_nmt.translator import DirichletTransformer

LINES = ["a b c d", "", "e f", "p o n m l", "a", "h g f e d c b"]


@pytest.fixture(scope="module")
def folder(toy: ToyReversal, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder around a checkpoint of the real ``fairseq-train``."""
    checkpoint = toy.train(
        "translator", "--arch", "transformer", "--criterion", "label_smoothed_cross_entropy", updates=20
    )
    dictionaries = [toy.data / "dict.src.txt", toy.data / "dict.tgt.txt"]
    output = tmp_path_factory.mktemp("models") / "student"
    pack(checkpoint, dictionaries, None, Preparation("src", "tgt", pieces=False), output)
    return output


@pytest.fixture(scope="module")
def model(folder: Path) -> DirichletTransformer:
    return DirichletTransformer.from_pretrained(folder)


def command(name: str, *arguments: str | Path, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ednd_nmt", name, *map(str, arguments)],
        input=text,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.slow
def test_order_and_measures_do_not_depend_on_the_batch(model: DirichletTransformer) -> None:
    together = model.translate(LINES, uncertainty=True)
    alone = [model.translate([line], uncertainty=True)[0] for line in LINES]
    assert [sentence.source for sentence in together] == LINES
    assert [sentence.text for sentence in together] == [sentence.text for sentence in alone]
    assert together[1].text == ""
    assert set(together[1].measures.values()) == {0.0}
    for ours, theirs in zip(together, alone, strict=True):
        assert ours.measures == pytest.approx(theirs.measures, abs=1e-5)
    assert model.translate(LINES) == [sentence.text for sentence in together]


@pytest.mark.slow
def test_scoring_a_translation_gives_what_the_search_saw(model: DirichletTransformer) -> None:
    found = [s for s in model.translate(LINES, uncertainty=True, beam=3) if s.source]
    scored = model.score([s.source for s in found], [s.text for s in found])
    for ours, theirs in zip(found, scored, strict=True):
        assert theirs.text == ours.text
        assert theirs.measures == pytest.approx(ours.measures, abs=1e-5)


@pytest.mark.slow
def test_the_command_prints_what_the_interface_returns(folder: Path, model: DirichletTransformer) -> None:
    process = command("translate", "--model", folder, "--format", "jsonl", text="\n".join(LINES) + "\n")
    assert process.returncode == 0, process.stderr
    _, *records = map(json.loads, io.StringIO(process.stdout))
    assert [record["hypotheses"][0]["text"] for record in records] == model.translate(LINES)
    assert "sentences in" in process.stderr


@pytest.mark.slow
def test_a_sentence_beyond_the_positions_is_one_sentence_and_no_file(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.txt"
    process = command(
        "translate", "--model", folder, "--output", output, text="a b\n" + "a " * 100_000 + "\n"
    )
    assert process.returncode == 2
    assert "line 2 has 100,001 pieces" in process.stderr
    assert "Traceback" not in process.stderr
    assert list(tmp_path.iterdir()) == []


def test_unequal_numbers_of_sources_and_translations_are_refused(model: DirichletTransformer) -> None:
    with pytest.raises(UserError, match="2 sources and 1 translations"):
        model.score(["a", "b"], ["a"])
