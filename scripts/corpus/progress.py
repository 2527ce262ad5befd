"""Progress for people, on stderr."""

from __future__ import annotations

import sys


def say(message: str) -> None:
    """Print one line of progress."""
    print(f"corpus: {message}", file=sys.stderr, flush=True)
