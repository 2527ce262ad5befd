"""For tests of what may run through torch.compile: a fixture, to be imported where it is used, and a mark."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from ednd_nmt.compiled import bodies_are_compiled, use_compiled_bodies

NO_COMPILER = shutil.which(os.environ.get("CXX", "g++")) is None
"""Whether there is none to begin with; one that is there and fails must fail the tests."""
needs_compiler = pytest.mark.skipif(NO_COMPILER, reason="no C++ compiler")


@pytest.fixture
def compiled_bodies() -> Iterator[None]:
    """Bodies run through torch.compile, and do so to the end of the test."""
    if NO_COMPILER:
        pytest.skip("no C++ compiler")
    use_compiled_bodies()
    yield
    compiled = bodies_are_compiled()
    use_compiled_bodies(False)
    assert compiled, "torch.compile failed, and the bodies ran eagerly"
