"""Commands in a process of their own: of this checkout, on one thread, and not for ever."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

PATIENCE = 1200
"""Seconds, for a machine that is busy with other things as well."""


def python(
    *words: object,
    text: str = "",
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    preparation: Callable[[], None] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run ``python <words>`` to its end, with ``text`` as its input; what it printed, and its exit status.

    Args:
        text: Standard input.
        folder: Working directory; that of this process by default.
        environment: Variables beside those of this process.
        preparation: Called in the new process before the command.
    """
    return subprocess.run(
        [sys.executable, *map(str, words)],
        input=text,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
        preexec_fn=preparation,
        timeout=PATIENCE,
    )


def ednd_nmt(*words: object, text: str = "", folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``ednd-nmt <words>`` likewise."""
    return python("-m", "ednd_nmt", *words, text=text, folder=folder)
