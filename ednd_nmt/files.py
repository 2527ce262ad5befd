"""Writing files so that no half-written file is ever seen under its final name."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ednd_nmt.errors import UserError


@contextlib.contextmanager
def atomic_writer(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO[str]]:
    """Open ``path`` for writing; the file appears under its name only when the block ends without an error.

    The text is written as UTF-8 with ``\\n`` line ends to ``<name>.partial`` in the same folder, flushed to disk and
    renamed over ``path`` (atomic on POSIX). After an exception the partial file is removed and an existing ``path`` stays
    as it was.

    Raises:
        UserError: the folder of ``path`` cannot be made or written to.
    """
    final = Path(path)
    partial = final.with_name(final.name + ".partial")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        stream = open(partial, mode, encoding="utf-8", newline="\n")  # noqa: SIM115 - closed below, before the rename
    except OSError as error:
        raise UserError(f"Cannot write {final}: {error.strerror}; choose another output path.") from error
    try:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())
        stream.close()
        os.replace(partial, final)
    except BaseException:
        stream.close()
        partial.unlink(missing_ok=True)
        raise
