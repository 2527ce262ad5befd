"""Limits of length and ratio: what stays, in its place, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.workflow import limits

LENGTHS = [(1, 1), (3, 2), (2, 3), (5, 2), (2, 5), (0, 1), (1, 0), (0, 0), (6, 6), (7, 6), (6, 7), (6, 4)]


def write(folder: Path) -> list[tuple[str, str]]:
    """Pairs of these lengths, whose first piece says which they are."""
    pairs = [
        (" ".join([f"s{n}"] * source), " ".join([f"t{n}"] * target))
        for n, (source, target) in enumerate(LENGTHS)
    ]
    for name, side in (("in.en", 0), ("in.de", 1)):
        (folder / name).write_text("".join(pair[side] + "\n" for pair in pairs), encoding="utf-8")
    return pairs


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, length: str = "6", *more: str) -> int:
    monkeypatch.chdir(folder)
    arguments = ["--source", "in.en", "--target", "in.de", "--max-length", length, "--max-ratio", "1.5"]
    arguments += ["--output-source", "out.en", "--output-target", "out.de", *more]
    monkeypatch.setattr("sys.argv", ["limits", *arguments])
    return limits.main()


def test_pairs_within_the_limits_stay_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = write(tmp_path)
    assert run(tmp_path, monkeypatch) == 0
    stay = [
        pair
        for pair, (source, target) in zip(pairs, LENGTHS, strict=True)
        if 1 <= source <= 6 and 1 <= target <= 6 and source / target <= 1.5 and target / source <= 1.5
    ]
    kept = [(tmp_path / name).read_text(encoding="utf-8").splitlines() for name in ("out.en", "out.de")]
    assert list(zip(*kept, strict=True)) == stay
    assert "5 pairs kept; dropped: empty 3, length ratio 2, too long 2" in capsys.readouterr().err


def test_texts_beside_the_pieces_are_written_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    for language in ("en", "de"):
        text = "".join(f"Line {n} \u2028 ({language}).\n" for n in range(len(LENGTHS)))
        (tmp_path / f"text.{language}").write_text(text, encoding="utf-8")
    assert run(tmp_path, monkeypatch, "6") == 0
    numbers = [line.split()[0][1:] for line in (tmp_path / "out.en").read_text(encoding="utf-8").splitlines()]
    assert run(tmp_path, monkeypatch, "6", "--texts", "text.en", "text.de") == 0
    for language in ("en", "de"):
        written = (tmp_path / f"out.{language}").read_text(encoding="utf-8")
        assert written == "".join(f"Line {n} \u2028 ({language}).\n" for n in numbers)


def test_texts_of_other_pieces_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path)
    (tmp_path / "text.en").write_text("one\n", encoding="utf-8")
    assert run(tmp_path, monkeypatch, "6", "--texts", "text.en", "in.de") == 2
    assert "in.en and in.de and text.en and in.de have not as many lines" in capsys.readouterr().err
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    ("extra", "length", "message"), [("one more\n", "6", "not as many"), ("", "0", "No pair of")]
)
def test_faults_are_told_and_nothing_is_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    extra: str,
    length: str,
    message: str,
) -> None:
    write(tmp_path)
    with open(tmp_path / "in.en", "a", encoding="utf-8") as stream:
        stream.write(extra)
    assert run(tmp_path, monkeypatch, length) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("out*"))
