"""The mark of tests that need a Slurm: set ``pytestmark`` to it."""

from __future__ import annotations

import shutil

import pytest

from scripts.local_slurm import PATH, PROGRAMS

needs_slurm = pytest.mark.skipif(
    any(shutil.which(name, path=PATH) is None for name in PROGRAMS), reason="Slurm is not installed"
)
