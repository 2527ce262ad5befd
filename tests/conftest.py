"""What tests of several folders share: the checkout that processes import, uncertainty files, and the toy task."""

from __future__ import annotations

import math
import os
import time
from collections import defaultdict
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

SLOW = 5
WHOLE_RUN = 40
"""Seconds of a test, at least, for which there has to be time."""

pytest.register_assert_rewrite("search_definitions")  # its asserts tell their values, as those of tests do


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--slow-until",
        metavar="EPOCH_SECONDS",
        type=float,
        default=math.inf,
        help="skip the slow tests, but for the whole runs, that would end later (default: skip none)",
    )


def slow_seconds(item: pytest.Item) -> float:
    """About how many seconds a test says it takes; 0 if it is not marked slow."""
    mark = item.get_closest_marker("slow")
    return mark.kwargs.get("seconds", SLOW) if mark else 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The whole runs first, since one begun at the end would keep a worker busy after all others; then from fast to slow."""
    seconds: dict[Path, float] = defaultdict(float)
    for item in items:
        seconds[item.path] += slow_seconds(item)
    whole = {item.path for item in items if slow_seconds(item) >= WHOLE_RUN}
    items.sort(key=lambda item: -seconds[item.path] if item.path in whole else seconds[item.path])


def pytest_runtest_setup(item: pytest.Item) -> None:
    seconds = slow_seconds(item)
    late = time.time() + seconds > item.config.getoption("--slow-until")
    if late and 0 < seconds < WHOLE_RUN:
        pytest.skip("no time is left for slow tests (--slow-until)")


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
