"""Writing sentences in the input's order while they arrive in any: nothing half-written under the final name.

    out.jsonl.unordered      what made it, then the sentences as they came
    out.jsonl                appears when all are there

A later run of the same command goes on with the first file. Each entry in it is a line of JSON that says how many bytes
follow and what their checksum is; whatever stands behind the last whole entry (half a sentence after a ``kill -9``) is
written over.
"""

from __future__ import annotations

import json
import os
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from ednd_nmt.errors import UserError
from ednd_nmt.files import (
    atomic_writer,
    cannot_write,
    disk_faults_named,
    is_special,
    lock_alone,
    resolved_output,
)
from ednd_nmt.formats import OutputFormat
from ednd_nmt.records import Sentence

FORMAT = "ednd-nmt.unordered"


class RecordWriter:
    """Collects the sentences of one run and puts the file in place, ordered by id, when all expected ones are there.

    Only the places of the sentences are kept in memory. An interrupted run leaves ``path`` as it was. A device or a pipe
    is written to at the end, and there is no going on with one.

    Args:
        path: the final file.

    Attributes:
        done: ids of the sentences that an earlier run has left.

    Raises:
        UserError: the folder cannot be written to, or another run is writing the same file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._final = resolved_output(path)
        self._unordered = self._final.with_name(self._final.name + ".unordered")
        self._maker: Any = None  # of the earlier run
        self._places: dict[int, tuple[int, int]] = {}  # id -> first byte and number of bytes
        self._missing: set[int] = set()
        self._end = 0
        self._stream: IO[bytes] | None = None
        if not is_special(self._final) and self._unordered.exists():
            self._stream = self._open()
            self._read_earlier(self._stream)
        self.done = frozenset(self._places)

    @property
    def complete(self) -> bool:
        """Whether every expected sentence has come and the file is in place."""
        return not self._missing

    def start(
        self, output_format: OutputFormat, expected: Iterable[int], maker: Mapping[str, str] | None = None
    ) -> None:
        """Begin to write.

        Args:
            output_format: how a sentence becomes text.
            expected: ids of the sentences that this run gives; they take the place of an earlier run's.
            maker: everything that the sentences depend on, by a name that a user knows.

        Raises:
            UserError: the earlier run was another one; the file cannot be written.
        """
        self._format, self._head = output_format, output_format.head(None)
        self._missing = set(expected)
        maker = dict(maker or {})
        if self._stream is None:
            special = is_special(self._final)
            self._stream = tempfile.TemporaryFile() if special else self._open()  # noqa: SIM115 - as this object
        if self._maker is not None and self._maker != maker:
            names = sorted(n for n in self._maker.keys() | maker if self._maker.get(n) != maker.get(n))
            raise UserError(
                f"{self._unordered} was left by a run with another {', '.join(names)}; give that command again to go on "
                "with it, or remove the file to start from the beginning."
            )
        with disk_faults_named(self.path):
            self._stream.truncate(self._end)
            if self._maker is None:
                self._append({"format": FORMAT, "maker": maker}, b"")

    def add(self, sentences: Iterable[Sentence]) -> None:
        """Write a batch of sentences; the last one of the run puts the file in place.

        Raises:
            UserError: a sentence comes twice or was not expected; the format needs a measure that the system lacks.
        """
        assert self._stream is not None, "start() comes first"
        try:
            entries = [(sentence.id, self._text(sentence)) for sentence in sentences]
        except BaseException:
            if not self._places:
                self._unordered.unlink(missing_ok=True)
            raise
        with disk_faults_named(self.path):
            for number, text in entries:
                self._append({"id": number}, text)
            self._stream.flush()
        if self.complete:
            self._put_in_place(self._stream)

    def _text(self, sentence: Sentence) -> bytes:
        if sentence.id not in self._missing:
            raise UserError(
                f"Sentence {sentence.id} came twice or was not expected while writing {self.path}; "
                "give every run an output file of its own."
            )
        if not self._head:
            self._head = self._format.head(sentence)
        self._format.uncertainty(
            sentence
        )  # a misspelt measure is an error in the formats that hold them all, too
        self._missing.discard(sentence.id)
        return self._format.sentence(sentence).encode()

    def _append(self, entry: dict[str, Any], text: bytes) -> None:
        assert self._stream is not None
        entry |= {"bytes": len(text), "crc32": zlib.crc32(text)}
        line = json.dumps(entry).encode() + b"\n"
        self._stream.seek(self._end)
        self._stream.write(line + text)
        if "id" in entry:
            self._places[entry["id"]] = self._end + len(line), len(text)
        self._end += len(line) + len(text)

    def _read_earlier(self, stream: IO[bytes]) -> None:
        """Note the whole entries of an earlier run; the last one of a sentence counts."""
        for entry, position in _entries(stream):
            if self._maker is None:
                if entry.get("format") != FORMAT:
                    return
                self._maker = entry["maker"]
            else:
                self._places[entry["id"]] = position, entry["bytes"]
            self._end = position + entry["bytes"]

    def _put_in_place(self, stream: IO[bytes]) -> None:
        with atomic_writer(self.path) as output:
            output.write(self._head)
            for _, (position, size) in sorted(self._places.items()):
                stream.seek(position)
                output.write(stream.read(size).decode())
        stream.close()
        self._unordered.unlink(missing_ok=True)

    def _open(self) -> IO[bytes]:
        try:  # without cutting off what another run may be writing
            stream: IO[bytes] = open(os.open(self._unordered, os.O_RDWR | os.O_CREAT, 0o666), "r+b")  # noqa: SIM115
        except OSError as error:
            raise cannot_write(self.path, error) from error
        if not lock_alone(stream, self._unordered):
            stream.close()
            raise UserError(
                f"Another run is writing {self.path}; wait for its end or choose another output path."
            )
        return stream


def remaining_batches(batches: Sequence[Sequence[int]], done: frozenset[int]) -> list[Sequence[int]]:
    """The batches that are not wholly done; at least one, since fairseq cannot translate nothing.

    A batch is translated as a whole, or left out as a whole, so that every sentence is in the company that it would have
    been in without the interruption, and its figures are the same to the last bit.
    """
    left = [batch for batch in batches if not done.issuperset(batch)]
    return left or list(batches[-1:])


def _entries(stream: IO[bytes]) -> Iterator[tuple[dict[str, Any], int]]:
    """The whole entries and where their texts begin."""
    while line := stream.readline():
        position = stream.tell()
        try:
            entry = json.loads(line)
            text = stream.read(entry["bytes"])
            if len(text) != entry["bytes"] or zlib.crc32(text) != entry["crc32"]:
                return
        except (ValueError, KeyError, TypeError):
            return
        yield entry, position
