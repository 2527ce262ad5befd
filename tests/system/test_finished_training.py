"""A finished training that is started again is finished."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from own_process import python
from toy_reversal import ToyReversal

import ednd_nmt

STOCK = Path(sys.executable).with_name("fairseq-train")
USER_DIR = str(Path(ednd_nmt.__file__).parent)


def updates_of(checkpoint: Path) -> int:
    return int(torch.load(checkpoint)["optimizer_history"][-1]["num_updates"])


@pytest.mark.slow(seconds=28)
@pytest.mark.parametrize(
    "command",
    [["-m", "ednd_nmt", "train"], [str(STOCK), "--user-dir", USER_DIR]],
    ids=["ednd-nmt train", "fairseq-train"],
)
def test_it_makes_no_more_updates(toy: ToyReversal, tmp_path: Path, command: list[str]) -> None:
    if command[0] == str(STOCK) and not STOCK.exists():
        pytest.skip("there is no command fairseq-train here")
    model = tmp_path / "checkpoint_last.pt"

    def train(updates: int) -> bytes:
        options = [
            str(toy.data), "--arch", "transformer", "--criterion", "cross_entropy", "--optimizer", "adam", "--lr", "1e-3",
            "--encoder-layers", "1", "--decoder-layers", "1", "--encoder-embed-dim", "16", "--encoder-ffn-embed-dim", "32",
            "--encoder-attention-heads", "2", "--decoder-attention-heads", "2", "--max-tokens", "500", "--cpu",
            "--disable-validation", "--no-epoch-checkpoints", "--num-workers", "0", "--save-dir", str(tmp_path),
            "--max-update", str(updates),
        ]  # fmt: skip
        ended = python(*command, *options)
        assert ended.returncode == 0, ended.stderr[-3000:]
        return model.read_bytes()

    trained = train(3)
    assert updates_of(model) == 3
    assert train(3) == trained
    assert train(2) == trained
    train(4)
    assert updates_of(model) == 4
