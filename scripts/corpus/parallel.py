"""The user's own parallel files in place of the fetch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from ednd_nmt.errors import UserError
from ednd_nmt.text_input import read_lines

from .units import Block

LINES_PER_DOCUMENT = 50


def blocks(source_files: Sequence[Path], target_files: Sequence[Path]) -> Iterator[Block]:
    """One block per line; every 50 lines in a row make a document, named by a hash of what it says.

    Raises:
        UserError: the numbers of files or lines differ, or a file cannot be read as text in UTF-8.
    """
    if len(source_files) != len(target_files):
        raise UserError(
            f"--source-files names {len(source_files)} files and --target-files {len(target_files)}; "
            "name them in pairs."
        )
    for source_file, target_file in zip(source_files, target_files, strict=True):
        sources, targets = (
            read_lines(file, "check --source-files and --target-files") for file in (source_file, target_file)
        )
        if len(sources) != len(targets):
            raise UserError(
                f"{source_file} has {len(sources)} lines and {target_file} has {len(targets)}; "
                "line n of one must be the translation of line n of the other."
            )
        for start in range(0, len(sources), LINES_PER_DOCUMENT):
            stop = start + LINES_PER_DOCUMENT
            text = "\n".join([*sources[start:stop], *targets[start:stop]])
            document = hashlib.sha256(text.encode()).hexdigest()[:16]
            for source, target in zip(sources[start:stop], targets[start:stop], strict=True):
                yield Block(document, source, target)
