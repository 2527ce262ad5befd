"""Writing an uncertainty file while sentences arrive in any order: nothing half-written under the final name."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ednd_nmt.errors import UserError
from ednd_nmt.files import atomic_writer
from ednd_nmt.records import Header, Sentence, header_to_json, sentence_to_json


class RecordWriter:
    """Collects the sentences of one run and puts the file in place, ordered by id, when all expected ones are there.

    Until then the lines stand in ``<path>.unordered``; only their positions are kept in memory. An interrupted run leaves
    ``path`` as it was.

    Args:
        path: the final file.
        header: its first line.
        expected: ids of all sentences of the run.

    Raises:
        UserError: the folder cannot be written to; a sentence comes twice or was not expected.
    """

    def __init__(self, path: str | os.PathLike[str], header: Header, expected: Iterable[int]) -> None:
        self.path = Path(path)
        self._header = header
        self._missing = set(expected)
        self._positions: dict[int, int] = {}
        self._unordered = self.path.with_name(self.path.name + ".unordered")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = open(self._unordered, "w+b")  # noqa: SIM115 - lives as long as the writer
        except OSError as error:
            raise UserError(
                f"Cannot write {self.path}: {error.strerror}; choose another output path."
            ) from error

    @property
    def complete(self) -> bool:
        """Whether every expected sentence has come and the file is in place."""
        return not self._missing

    def add(self, sentences: Iterable[Sentence]) -> None:
        """Write a batch of sentences; the last one of the run puts the file in place."""
        for sentence in sentences:
            if sentence.id not in self._missing:
                raise UserError(
                    f"Sentence {sentence.id} came twice or was not expected while writing {self.path}; "
                    "give every run an output file of its own."
                )
            self._positions[sentence.id] = self._stream.tell()
            self._stream.write(sentence_to_json(sentence).encode() + b"\n")
            self._missing.discard(sentence.id)
        self._stream.flush()
        if self.complete:
            self._put_in_place()

    def _put_in_place(self) -> None:
        with atomic_writer(self.path) as output:
            output.write(header_to_json(self._header) + "\n")
            for _, position in sorted(self._positions.items()):
                self._stream.seek(position)
                output.write(self._stream.readline().decode())
        self._stream.close()
        self._unordered.unlink()
