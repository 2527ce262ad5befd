"""What tests of several folders share: the checkout that processes import, uncertainty files, and the toy task."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from made_up_runs import write_runs
from toy_reversal import ToyReversal

if TYPE_CHECKING:
    from random_models import RandomModels

ROOT = Path(__file__).resolve().parents[1]
# pytest's own `pythonpath` is not passed on to processes, and another checkout may be installed.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))

pytest.register_assert_rewrite("search_definitions")  # its asserts tell their values, as those of tests do


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest first: one begun at the end would keep a single worker busy after all others."""
    seconds: Counter[Path] = Counter()
    for item in items:
        for mark in item.iter_markers("slow"):
            seconds[item.path] += mark.kwargs.get("seconds", 5)
    items.sort(key=lambda item: -seconds[item.path])


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one folder of uncertainty files per system."""
    return write_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> ToyReversal:
    """The toy task with its data binarised; nothing is trained."""
    task = ToyReversal(tmp_path_factory.mktemp("toy"))
    task.write_text()
    task.binarise()
    return task


@pytest.fixture
def random_models(toy: ToyReversal, tmp_path: Path) -> RandomModels:
    """Random models on the toy task."""
    from random_models import RandomModels  # with torch, which most tests of other folders do without

    return RandomModels(toy.data, tmp_path / "uncertainty.jsonl")
