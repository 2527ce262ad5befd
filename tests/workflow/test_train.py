"""A training that is resumed only as the same training."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from full_disk import full_disk

from scripts.workflow import progress, train


def test_checkpoints_are_used_again_only_by_the_same_training(tmp_path: Path) -> None:
    data, work = tmp_path / "train.bin", tmp_path / "checkpoints"
    data.write_bytes(b"one")
    command = ["fairseq-train", "data", "--lr", "1e-3"]
    train.prepare(work, train.fingerprint(command, [data]))
    (work / "checkpoint_last.pt").touch()
    train.prepare(work, train.fingerprint(command, [data]))
    assert (work / "checkpoint_last.pt").exists()

    train.prepare(work, train.fingerprint([*command, "--fp16"], [data]))
    assert not (work / "checkpoint_last.pt").exists()

    train.prepare(work, train.fingerprint(command, [data]))
    (work / "checkpoint_last.pt").touch()
    data.write_bytes(b"two")
    train.prepare(work, train.fingerprint(command, [data]))
    assert not (work / "checkpoint_last.pt").exists()


def test_checkpoints_of_unknown_origin_are_not_used(tmp_path: Path) -> None:
    work = tmp_path / "checkpoints"
    work.mkdir()
    (work / "checkpoint_last.pt").touch()
    train.prepare(work, train.fingerprint(["fairseq-train"], []))
    assert not (work / "checkpoint_last.pt").exists()


def test_a_disk_that_is_full_by_now_leaves_the_checkpoints(tmp_path: Path) -> None:
    work = tmp_path / "checkpoints"
    made_from = train.fingerprint(["fairseq-train", "data", "--restore-file", "x" * 1000], [])
    train.prepare(work, made_from)
    (work / "checkpoint_last.pt").touch()
    with full_disk():
        train.prepare(work, made_from)
    train.prepare(work, made_from)
    assert (work / "checkpoint_last.pt").exists()


def test_a_record_that_found_no_room_is_not_there(tmp_path: Path) -> None:
    with full_disk(), pytest.raises(OSError, match="File too large"):
        train.prepare(tmp_path / "checkpoints", "x" * 1000)
    assert list((tmp_path / "checkpoints").iterdir()) == []


def main(monkeypatch: pytest.MonkeyPatch, folder: Path, keep: str, *command: str) -> int:
    """The command line of a training whose checkpoint is kept."""
    monkeypatch.chdir(folder)
    arguments = [
        "--stage",
        "member",
        "--log",
        "log",
        "--work",
        "work",
        "--output",
        "model.pt",
        "--keep",
        keep,
    ]
    arguments += ["--user-dir", "ednd_nmt", "--inputs", "data.bin", "--", *command]
    monkeypatch.setattr("sys.argv", ["train", *arguments])
    return train.main()


def test_what_fairseq_did_not_keep_is_asked_for_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """And with the other choice the same training gives its model."""
    (tmp_path / "data.bin").touch()
    command = [sys.executable, "-c", "open('work/checkpoint_last.pt', 'w').write('weights')"]
    for _ in range(2):
        assert main(monkeypatch, tmp_path, "best", *command) == 2
        assert capfd.readouterr().err.splitlines()[-1] == (
            "error: fairseq kept no checkpoint_best.pt; let it validate, or choose keep: last."
        )
        assert not (tmp_path / "work" / train.FINISHED).exists()
    assert main(monkeypatch, tmp_path, "last", *command) == 0
    assert (tmp_path / "model.pt").read_text(encoding="utf-8") == "weights"


def test_what_is_not_there_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(monkeypatch, tmp_path, "last", "fairseq-train") == 2
    assert capfd.readouterr().err == "error: data.bin: No such file or directory; check this path.\n"
    (tmp_path / "data.bin").touch()
    absent = "error: no-fairseq-train: No such file or directory; check this path.\n"
    assert main(monkeypatch, tmp_path, "last", "no-fairseq-train") == 2
    assert capfd.readouterr().err == absent
    monkeypatch.setattr("sys.argv", ["progress", "--stage", "a", "--log", "log", "--", "no-fairseq-train"])
    assert progress.main() == 2
    assert capfd.readouterr().err == absent
