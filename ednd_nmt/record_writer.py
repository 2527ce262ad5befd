"""Writing sentences in the input's order while they arrive in any: nothing half-written under the final name."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ednd_nmt.errors import UserError
from ednd_nmt.files import atomic_writer
from ednd_nmt.formats import OutputFormat
from ednd_nmt.records import Sentence


class RecordWriter:
    """Collects the sentences of one run and puts the file in place, ordered by id, when all expected ones are there.

    Until then the text stands in ``<path>.unordered``; only their positions are kept in memory. An interrupted run leaves
    ``path`` as it was.

    Args:
        path: the final file.
        output_format: how a sentence becomes text.
        expected: ids of all sentences of the run.

    Raises:
        UserError: the folder cannot be written to; a sentence comes twice or was not expected.
    """

    def __init__(
        self, path: str | os.PathLike[str], output_format: OutputFormat, expected: Iterable[int]
    ) -> None:
        self.path = Path(path)
        self._format = output_format
        self._head = output_format.head(None)
        self._missing = set(expected)
        self._places: dict[int, tuple[int, int]] = {}  # id -> first byte and number of bytes
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
            if not self._places:
                self._head = self._format.head(sentence)
            position = self._stream.tell()
            self._places[sentence.id] = position, self._stream.write(self._format.sentence(sentence).encode())
            self._missing.discard(sentence.id)
        self._stream.flush()
        if self.complete:
            self._put_in_place()

    def _put_in_place(self) -> None:
        with atomic_writer(self.path) as output:
            output.write(self._head)
            for _, (position, size) in sorted(self._places.items()):
                self._stream.seek(position)
                output.write(self._stream.read(size).decode())
        self._stream.close()
        self._unordered.unlink()
