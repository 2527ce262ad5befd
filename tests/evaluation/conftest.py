"""The uncertainty files that the tests of evaluation share."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_up_runs import write_runs


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one folder of uncertainty files per system."""
    return write_runs(tmp_path_factory.mktemp("runs"))
