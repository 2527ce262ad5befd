"""What may go wrong with a fetch that the user cannot mend."""

from __future__ import annotations


class FetchError(RuntimeError):
    """The machine, the network or the mirror failed: one sentence, no traceback, exit code 1."""
