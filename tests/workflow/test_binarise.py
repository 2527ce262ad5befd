"""Binarised data: every line, no unknown piece, and sets without references that fairseq can load."""

from __future__ import annotations

from pathlib import Path

import pytest

from ednd_nmt.errors import UserError
from scripts.workflow import binarise

LANGUAGES = ("en", "de")


@pytest.fixture
def texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("dict.txt").write_text("▁a 1\n▁b 1\n<0xC3> 1\n", encoding="utf-8")
    for language in LANGUAGES:
        Path(f"test.{language}").write_text("▁a ▁b\n\n▁b <0xC3>\n", encoding="utf-8")
    return tmp_path


def load(folder: Path) -> object:
    from fairseq.tasks.translation import TranslationConfig, TranslationTask

    config = TranslationConfig(data=str(folder), source_lang="en", target_lang="de", dataset_impl="mmap")
    task = TranslationTask.setup_task(config)
    task.load_dataset("test")
    return task.dataset("test")


@pytest.mark.slow
@pytest.mark.parametrize("reference", [True, False])
def test_fairseq_loads_sets_with_and_without_references(texts: Path, reference: bool) -> None:
    if not reference:
        Path("test.de").unlink()
    binarise.binarise(Path("dict.txt"), LANGUAGES, {"test": "test"}, Path("data"))
    dataset = load(texts / "data")
    assert len(dataset) == 3  # type: ignore[arg-type]
    first = dataset[0]  # type: ignore[index]
    assert first["source"].tolist() == [4, 5, 2]
    assert (first["target"] is not None) == reference


@pytest.mark.slow
@pytest.mark.parametrize("reference", [True, False])
def test_two_dictionaries_stay_two(texts: Path, reference: bool) -> None:
    Path("dict.de.txt").write_text("▁b 1\n<0xC3> 1\n▁a 1\n", encoding="utf-8")
    if not reference:
        Path("test.de").unlink()
    binarise.binarise(Path("dict.txt"), LANGUAGES, {"test": "test"}, Path("data"), Path("dict.de.txt"), 2)
    first = load(texts / "data")[0]  # type: ignore[index]
    assert first["source"].tolist() == [4, 5, 2]
    if reference:
        assert first["target"].tolist() == [6, 4, 2]
    assert Path("data/dict.de.txt").read_text(encoding="utf-8") == Path("dict.de.txt").read_text(
        encoding="utf-8"
    )


def test_lost_lines_are_told(tmp_path: Path) -> None:
    text = tmp_path / "test.en"
    text.write_text("a\nb\n")
    log = f"INFO | fairseq_cli.preprocess | [en] {text}: 1 sents, 2 tokens, 0.0% replaced (by <unk>)\n"
    with pytest.raises(UserError, match="has 2 lines, but fairseq-preprocess wrote 1"):
        binarise.check(log, [text])
    with pytest.raises(UserError, match="wrote none"):
        binarise.check("", [text])


def test_an_empty_text_is_told_before_fairseq_trips_over_it(tmp_path: Path) -> None:
    (tmp_path / "valid.en").touch()
    with pytest.raises(UserError, match="is empty"):
        binarise.check("", [tmp_path / "valid.en"])
