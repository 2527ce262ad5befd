"""Long output, sentence by sentence, that goes on where an interrupted run stopped.

    out.jsonl.partial        the text so far
    out.jsonl.partial.json   how much of it is good, from which input it came, and what made it
    out.jsonl                appears when all is there

The second file is the one that counts: whatever stands in the first beyond what it vouches for (half a line after a
``kill -9``) is cut off. Both are on the disk, in that order, before more is done.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from ednd_nmt.files import (
    close_anyway,
    disk_faults_named,
    open_alone,
    partial_of,
    resolved_output,
)
from ednd_nmt.journal import Journal

FORMAT = "ednd-nmt.partial"

Item = TypeVar("Item")


class ResumableFile:
    """A file in the making; :func:`resumable_writer` opens one.

    Attributes:
        done: sentences that the text holds and the journal vouches for.
    """

    def __init__(self, final: Path, maker: Mapping[str, str], say: Callable[[str], None]) -> None:
        self.done = 0
        self._final, self._partial = final, partial_of(final)
        self._journal, self._say = Journal(self._partial, FORMAT, maker, say), say
        self._digest = hashlib.sha256()
        self._digests: dict[int, str] = {}  # of the input after so many sentences, where a commit may come
        self._stream = open_alone(self._partial, final)

    def remaining(self, items: Iterable[Item], every: int) -> Iterator[Item]:
        """What is left of the input: all of it, or what follows the sentences that an earlier run has written.

        Args:
            items: the whole input, one item per sentence.
            every: sentences from one :meth:`commit` to the next.
        """
        source = iter(items)
        record, seen = self._journal.read(), []
        if record is not None and self._size() < record["bytes"]:
            record = None
        if record is not None:
            seen = list(itertools.islice(self._digested(source, 0, every), record["sentences"]))
            if len(seen) == record["sentences"] and self._digest.hexdigest() == record["input"]:
                self.done, seen = record["sentences"], []
                self._say(f"going on after the {self.done:,} sentences in {self._partial}")
            else:
                self._say(f"{self._partial} is of another input; starting from the beginning")
                self._digest = hashlib.sha256()
            self._digests.clear()
        kept = record["bytes"] if record is not None and self.done else 0
        if not kept:
            self._journal.remove()  # it must not vouch for what will be written now
        self._stream.truncate(kept)
        return self._digested(itertools.chain(seen, source), self.done, every)

    def write(self, text: str) -> None:
        """Add text of whole sentences."""
        self._stream.write(text)

    def commit(self, sentences: int) -> None:
        """Vouch for the text so far, which holds so many sentences: a multiple of ``every``."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._journal.write(sentences=sentences, bytes=self._size(), input=self._digests.pop(sentences))
        self.done = sentences

    def finish(self) -> None:
        """Put the file in place."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        os.replace(self._partial, self._final)
        self._journal.remove()
        self._stream.close()

    def abandon(self) -> None:
        """Leave what a later run can go on with, or nothing."""
        if self.done:
            self._say(
                f"{self.done:,} sentences are kept in {self._partial}; the same command goes on after them"
            )
        else:
            self._partial.unlink(missing_ok=True)
            self._journal.remove()
        close_anyway(self._stream)

    def _digested(self, items: Iterable[Item], before: int, every: int) -> Iterator[Item]:
        for number, item in enumerate(items, start=before + 1):
            self._digest.update(json.dumps(item).encode())  # of JSON, so that no two inputs look alike
            if number % every == 0:
                self._digests[number] = self._digest.hexdigest()
            yield item

    def _size(self) -> int:
        return os.fstat(self._stream.fileno()).st_size


@contextlib.contextmanager
def resumable_writer(
    path: str | os.PathLike[str], maker: Mapping[str, str], say: Callable[[str], None]
) -> Iterator[ResumableFile]:
    """A file that appears under its name when the block ends without an error, and is kept for a later run otherwise.

    Args:
        path: the final file, not a device.
        maker: everything but the input that its contents depend on, by a name that a user knows. An unfinished file of
            another maker is written over.
        say: gets a line of news now and then, for the user.

    Raises:
        UserError: the folder cannot be written to, or another process is writing the same file.
    """
    file = ResumableFile(resolved_output(path), maker, say)
    try:
        with disk_faults_named(path):
            yield file
            file.finish()
    except BaseException:
        file.abandon()
        raise
