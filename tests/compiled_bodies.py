"""A fixture for tests of what may run through torch.compile; import it where it is used."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ednd_nmt.compiled import bodies_are_compiled, use_compiled_bodies


@pytest.fixture
def compiled_bodies() -> Iterator[None]:
    """Bodies run through torch.compile, and do so to the end of the test."""
    use_compiled_bodies()
    yield
    compiled = bodies_are_compiled()
    use_compiled_bodies(False)
    assert compiled, "torch.compile failed, and the bodies ran eagerly"
