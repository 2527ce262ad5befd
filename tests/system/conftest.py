"""Toy data binarised once, and random models on it, for tests that run the real fairseq."""

from __future__ import annotations

from pathlib import Path

import pytest
from random_models import RandomModels
from toy_reversal import ToyReversal


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> ToyReversal:
    """The toy task with its data binarised; nothing is trained."""
    task = ToyReversal(tmp_path_factory.mktemp("toy"))
    task.write_text()
    task.binarise()
    return task


@pytest.fixture
def random_models(toy: ToyReversal, tmp_path: Path) -> RandomModels:
    return RandomModels(toy.data, tmp_path / "uncertainty.jsonl")
