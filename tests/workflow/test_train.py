"""A training that is resumed only as the same training."""

from __future__ import annotations

from pathlib import Path

from scripts.workflow import train


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
