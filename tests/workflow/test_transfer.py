"""The transfer set: every source, in order, with the ensemble's best translation, or several."""

from __future__ import annotations

from pathlib import Path

import pytest

from ednd_nmt.errors import UserError
from scripts.workflow import transfer

FIRST = [
    *["INFO | x", "S-2\tc", "T-2\tz", "H-2\t-0.1\t▁C c", "D-2\t-0.1\t▁C c", "H-2\t-0.7\t▁second"],
    *["S-0\ta", "H-0\t-1\t"],
]
SECOND = ["S-1\tb", "H-1\t-0.3\t▁B\tb", "Generate train with beam=5: BLEU4 = 3.1"]
SHARDS = [list(transfer.hypotheses_of(lines, "shard")) for lines in (FIRST, SECOND)]
ARGUMENTS = ["--source", "source", "--source-lang", "en", "--target-lang", "de", "--output", "out"]


def test_the_best_hypotheses_in_the_order_of_the_sources() -> None:
    assert transfer.merge(SHARDS, 3) == [[""], ["▁B\tb"], ["▁C c"]]
    assert transfer.merge(SHARDS, 3, hypotheses=2) == [[""], ["▁B\tb"], ["▁C c", "▁second"]]


def test_no_translation_of_a_source_is_taken_twice() -> None:
    nbest = ["H-0\t-0.1\tx", "H-0\t-0.2\tx", "H-0\t-0.3\ty", "H-0\t-0.4\tz"]
    assert transfer.merge([transfer.hypotheses_of(nbest, "shard")], 1, hypotheses=2) == [["x", "y"]]


@pytest.mark.parametrize(
    ("shards", "sentences", "message"),
    [
        (SHARDS[:1], 3, "1 of 3 sources have no translation \\(the first is number 1\\)"),
        ([*SHARDS, SHARDS[1]], 3, "Sentence 1 is in two shards"),
        (SHARDS, 2, "Sentence 2 of the shards is not among the 2 sources"),
    ],
)
def test_nothing_is_lost_or_twice_unseen(
    shards: list[list[tuple[int, str]]], sentences: int, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        transfer.merge(shards, sentences)


def test_references_are_dropped_or_follow() -> None:
    assert transfer.pairs(["a", "b"], [["x"], ["y", "z"]], None) == [("a", "x"), ("b", "y"), ("b", "z")]
    assert transfer.pairs(["a"], [["x"]], ["r"]) == [("a", "x"), ("a", "r")]
    with pytest.raises(UserError, match="2 references for 1 sources"):
        transfer.pairs(["a"], [["x"]], ["r", "s"])


@pytest.mark.parametrize(
    ("options", "sources", "targets"),
    [
        ([], "a\nb\nc\n", "\n▁B\tb\n▁C c\n"),
        (["--hypotheses", "4"], "a\nb\nc\nc\n", "\n▁B\tb\n▁C c\n▁second\n"),
    ],
)
def test_the_command_writes_both_sides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], sources: str, targets: str
) -> None:
    (tmp_path / "source").write_text("a\nb\nc\n")
    for name, lines in (("0", FIRST), ("1", SECOND)):
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["transfer", *ARGUMENTS, *options, "0", "1"])
    assert transfer.main() == 0
    assert (tmp_path / "out.en").read_text() == sources
    assert (tmp_path / "out.de").read_text() == targets


def test_the_command_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "source").write_text("a\nb\nc\n")
    (tmp_path / "0").write_text("\n".join(FIRST))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["transfer", *ARGUMENTS, "0"])
    assert transfer.main() == 2
    assert capsys.readouterr().err.startswith("error: 1 of 3 sources")
    assert not (tmp_path / "out.en").exists()


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (b"H-1\t-0.", "Line 3 of 1 is no whole hypothesis of fairseq-generate"),
        (b"H-1", "Line 3 of 1 is no whole hypothesis of fairseq-generate"),
        (b"H-x\t-0.3\tB", "Line 3 of 1 is no whole hypothesis of fairseq-generate"),
        (b"H-1\t-0.3\t\xe2\x96", "Line 3 of 1 is not UTF-8 text"),
    ],
)
def test_what_an_interruption_left_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    end: bytes,
    said: str,
) -> None:
    (tmp_path / "source").write_text("a\nb\nc\n")
    (tmp_path / "0").write_text("\n".join(FIRST))
    (tmp_path / "1").write_bytes(b"INFO | x\nS-1\tb\n" + end)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["transfer", *ARGUMENTS, "0", "1"])
    assert transfer.main() == 2
    expected = f"error: {said}; if its generation was interrupted, translate this shard anew.\n"
    assert capsys.readouterr().err == expected
    assert not (tmp_path / "out.en").exists()


def test_the_sources_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the prefix of the training text, the transfer set would take its place."""
    text = {"train.en": "a\nb\nc\n", "train.de": "x\ny\nz\n"}
    for name, content in {**text, "0": "\n".join([*FIRST, *SECOND])}.items():
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    words = ["--source", "train.en", "--references", "train.de", *ARGUMENTS[2:-1], "train", "0"]
    monkeypatch.setattr("sys.argv", ["transfer", *words])
    assert transfer.main() == 2
    assert capsys.readouterr().err.startswith("error: train.en is read by the same command")
    assert {name: (tmp_path / name).read_text() for name in text} == text
