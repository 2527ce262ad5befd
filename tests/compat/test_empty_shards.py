"""More shards than batches: those that have none are empty, and together they are the whole set."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from own_process import python
from toy_reversal import ToyReversal
from training import Training

import ednd_nmt
from ednd_nmt.compat.empty_shards import is_empty_shard


@pytest.mark.slow(seconds=28)
def test_the_transfer_set_is_whole(tmp_path: Path) -> None:
    """As the workflow translates it: fairseq's own command in a stage, then the merging of the shards."""
    toy = ToyReversal(tmp_path)
    toy.write_text()
    toy.binarise()
    Training(toy.data).save(tmp_path / "model.pt")
    for shard in range(3):  # of two batches
        generate = [
            Path(sys.executable).with_name("fairseq-generate"), toy.data, "--user-dir", Path(ednd_nmt.__file__).parent,
            "--task", "translation", "--source-lang", "src", "--target-lang", "tgt", "--path", "model.pt",
            "--gen-subset", "test", "--batch-size", "120", "--beam", "1", "--max-len-b", "2", "--max-len-a", "0",
            "--required-batch-size-multiple", "1", "--distributed-world-size", "3", "--distributed-rank", shard, "--cpu",
        ]  # fmt: skip
        stage = ["--stage", "shard", "--log", f"{shard}.log", "--output", f"{shard}.txt"]
        result = python("-m", "scripts.workflow.progress", *stage, "--", *generate, folder=tmp_path)
        assert result.returncode == 0, result.stderr
    assert [(tmp_path / f"{shard}.txt").stat().st_size > 0 for shard in range(3)] == [True, True, False]
    log = (tmp_path / "2.log").read_text(encoding="utf-8")
    assert "nothing to translate" in log
    assert "Traceback" not in log
    merge = ["--source", "test.src", "--source-lang", "src", "--target-lang", "tgt", "--output", "train"]
    merged = python("-m", "scripts.workflow.transfer", *merge, "0.txt", "1.txt", "2.txt", folder=tmp_path)
    assert merged.returncode == 0, merged.stderr
    assert (tmp_path / "train.src").read_text() == (tmp_path / "test.src").read_text()


def test_other_divisions_by_zero_are_faults() -> None:
    def division(module: str, name: str, sentences: int) -> ZeroDivisionError:
        scope: dict[str, object] = {"__name__": module}
        exec(f"def {name}(num_sentences):\n    return 1 / 0", scope)
        try:
            scope[name](sentences)  # type: ignore[operator]
        except ZeroDivisionError as error:
            return error
        raise AssertionError

    assert is_empty_shard(division("fairseq_cli.generate", "_main", 0))
    assert not is_empty_shard(division("fairseq_cli.generate", "_main", 3))
    assert not is_empty_shard(division("fairseq_cli.generate", "main", 0))
    assert not is_empty_shard(division("fairseq_cli.interactive", "_main", 0))
    assert not is_empty_shard(ZeroDivisionError())
