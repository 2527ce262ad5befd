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
from typing import Any, TypeVar

from ednd_nmt.errors import UserError
from ednd_nmt.files import (
    atomic_writer,
    close_anyway,
    disk_faults_named,
    lock_alone,
    open_output,
    partial_of,
    resolved_output,
)

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
        self._journal = self._partial.with_name(self._partial.name + ".json")
        self._maker, self._say = dict(maker), say
        self._digest = hashlib.sha256()
        self._digests: dict[int, str] = {}  # of the input after so many sentences, where a commit may come
        self._stream = open_output(self._partial, "a+")
        if not lock_alone(self._stream, self._partial):
            self._stream.close()
            raise UserError(
                f"Another run is writing {final}; wait for its end or choose another output path."
            )

    def remaining(self, items: Iterable[Item], every: int) -> Iterator[Item]:
        """What is left of the input: all of it, or what follows the sentences that an earlier run has written.

        Args:
            items: the whole input, one item per sentence.
            every: sentences from one :meth:`commit` to the next.
        """
        source = iter(items)
        record, seen = self._read_journal(), []
        if record is not None:
            seen = list(itertools.islice(self._digested(source, 0, every), record["sentences"]))
            if len(seen) == record["sentences"] and self._digest.hexdigest() == record["input"]:
                self.done, seen = record["sentences"], []
                self._say(f"going on after the {self.done:,} sentences in {self._partial}")
            else:
                self._say(f"{self._partial} is of another input; starting from the beginning")
                self._digest = hashlib.sha256()
            self._digests.clear()
        self._stream.truncate(record["bytes"] if record is not None and self.done else 0)
        return self._digested(itertools.chain(seen, source), self.done, every)

    def write(self, text: str) -> None:
        """Add text of whole sentences."""
        self._stream.write(text)

    def commit(self, sentences: int) -> None:
        """Vouch for the text so far, which holds so many sentences: a multiple of ``every``."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        record = {
            "format": FORMAT, "sentences": sentences, "bytes": os.fstat(self._stream.fileno()).st_size,
            "input": self._digests.pop(sentences), "maker": self._maker,
        }  # fmt: skip
        with atomic_writer(self._journal) as stream:
            json.dump(record, stream)
        self.done = sentences

    def finish(self) -> None:
        """Put the file in place."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        os.replace(self._partial, self._final)
        self._journal.unlink(missing_ok=True)
        self._stream.close()

    def abandon(self) -> None:
        """Leave what a later run can go on with, or nothing."""
        if self.done:
            self._say(
                f"{self.done:,} sentences are kept in {self._partial}; the same command goes on after them"
            )
        else:
            self._partial.unlink(missing_ok=True)
            self._journal.unlink(missing_ok=True)
        close_anyway(self._stream)

    def _digested(self, items: Iterable[Item], before: int, every: int) -> Iterator[Item]:
        for number, item in enumerate(items, start=before + 1):
            self._digest.update(json.dumps(item).encode())  # of JSON, so that no two inputs look alike
            if number % every == 0:
                self._digests[number] = self._digest.hexdigest()
            yield item

    def _read_journal(self) -> dict[str, Any] | None:
        """The journal of an earlier run, if this one may go on with its text."""
        try:
            record = json.loads(self._journal.read_bytes())
            if record["format"] != FORMAT or record["bytes"] > os.fstat(self._stream.fileno()).st_size:
                return None
            theirs = record["maker"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if differ := differences(self._maker, theirs):
            self._say(f"{self._partial} was made with another {differ}; starting from the beginning")
            return None
        return dict(record)


def differences(maker: Mapping[str, str], other: Mapping[str, str]) -> str:
    """Names of what two makers do not have in common, as a sentence lists them; empty if there is nothing."""
    return ", ".join(sorted(name for name in maker.keys() | other if maker.get(name) != other.get(name)))


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
