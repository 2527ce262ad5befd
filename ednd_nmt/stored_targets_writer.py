"""Writes a file of stored targets (:mod:`ednd_nmt.stored_targets`), going on where an interrupted run stopped.

    targets.h5.partial        the file, at its final size from the beginning
    targets.h5.partial.json   how many of its sentences are good, what made them, and the sums of their tail
    targets.h5                appears when all is there

Everything in the HDF5 file has its place before the first sentence is written, and nothing but rows changes after that, so
that a ``kill -9`` at any moment leaves a file that can be opened; the journal alone says what in it counts.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ednd_nmt.errors import UserError
from ednd_nmt.files import (
    cannot_write,
    is_disk_fault,
    library_faults_named,
    partial_of,
    refuse_special,
    resolved_output,
)
from ednd_nmt.journal import Journal
from ednd_nmt.stored_targets import FORMAT, TAIL, VERSION, Rows, TailAverage, row_type
from ednd_nmt.version import __version__

if TYPE_CHECKING:  # as in stored_targets
    import h5py

JOURNAL_FORMAT = "ednd_nmt stored targets, partial"
_OVERHEAD = 1 << 16
"""Bytes of the file that are no rows, roughly."""


@contextlib.contextmanager
def stored_targets_writer(
    path: str | os.PathLike[str],
    lengths: Mapping[str, NDArray[np.integer[Any]]],
    classes: int,
    top_k: int,
    members: Sequence[str],
    maker: Mapping[str, str],
    say: Callable[[str], None],
) -> Iterator[StoredTargetsWriter]:
    """A file that appears under its name when the block ends without an error, and is kept for a later run otherwise.

    Args:
        lengths: of the sentences of each data set in target tokens, EOS included.
        classes: K.
        top_k: how many classes are kept of each token.
        members: checksums of the members' checkpoints.
        maker: what else the contents depend on, by a name that a user knows. An unfinished file of other members or data
            sets, or another maker, is written over.
        say: gets a line of news now and then, for the user.

    Raises:
        UserError: ``top_k`` is not between 1 and K, the file cannot be written, or another run is writing it.
        OSError: the disk has no room for it.
    """
    if not 1 <= top_k <= classes:
        raise UserError(f"--top-k is {top_k}; give a number from 1 to the vocabulary's size, {classes}.")
    final = resolved_output(path)
    refuse_special(final)
    partial = partial_of(final)
    sizes = {name: [len(of), int(np.sum(of))] for name, of in lengths.items()}
    members_and_more = {
        "ensemble": " ".join(members),
        "top-k": str(top_k),
        "subsets": json.dumps(sizes),
        **maker,
    }
    journal = Journal(partial, JOURNAL_FORMAT, members_and_more, say)
    try:
        file = _opened(partial)
        record = journal.read() if file is not None else None
        if file is None or record is None:
            if file is not None:
                file.close()
            journal.remove()  # it must not vouch for the new file
            tokens = sum(tokens for _, tokens in sizes.values())
            _check_room(partial, tokens * row_type(top_k, classes).itemsize)
            with library_faults_named(partial):
                file = _created(partial, lengths, classes, top_k, members)
    except (BlockingIOError, FileExistsError) as error:
        raise UserError(
            f"Another run is writing {path}; wait for its end or choose another --output."
        ) from error
    except OSError as error:
        if is_disk_fault(error):
            raise
        raise cannot_write(partial, error) from error
    writer = StoredTargetsWriter(file, row_type(top_k, classes), TailAverage(classes), journal)
    if record is not None:
        writer.done = record["sentences"]
        writer.tail.sums.copy_(torch.tensor(record["tail"], dtype=torch.float64))
        say(f"going on after the {writer.done:,} sentences in {partial}")
    try:
        with library_faults_named(path), file:
            yield writer
            writer.finish()
        os.replace(partial, final)
        journal.remove()
    except BaseException:
        if writer.done:
            say(f"{writer.done:,} sentences are kept in {partial}; the same command goes on after them")
        else:
            partial.unlink(missing_ok=True)
            journal.remove()
        raise


class StoredTargetsWriter:
    """Takes the rows of sentence after sentence.

    Attributes:
        done: sentences that are on the disk, of all data sets one after the other.
        tail: average over the tokens of these, and of those that were written since.
    """

    def __init__(self, file: h5py.File, row: np.dtype[np.void], tail: TailAverage, journal: Journal) -> None:
        self.done = 0
        self.tail = tail
        self._file, self._type, self._journal = file, row, journal

    def write(self, name: str, first_sentence: int, rows: Sequence[Rows]) -> None:
        """Write the rows of consecutive sentences of the data set ``name``, one :data:`Rows` each."""
        group = self._file[name]
        count = sum(len(row["token"]) for row in rows)
        array = np.empty(count, self._type)
        for field in self._type.names or ():
            array[field] = torch.cat([row[field] for row in rows]).cpu().numpy()
        start = int(group["offsets"][first_sentence])
        group["rows"][start : start + count] = array

    def commit(self, sentences: int) -> None:
        """Vouch for so many sentences, of all data sets one after the other; :attr:`tail` has seen them and no others."""
        self._flush()
        self._journal.write(sentences=sentences, tail=self.tail.sums.tolist())
        self.done = sentences

    def finish(self) -> None:
        """Write the shape of the tail, after the last sentence."""
        shape = self.tail.shape()
        self._file[TAIL]["probability"][:] = shape.probability.numpy()
        self._file[TAIL]["log_probability"][:] = shape.log_probability.numpy()
        self._flush()

    def _flush(self) -> None:
        self._file.flush()
        os.fsync(self._file.id.get_vfd_handle())


def _opened(partial: Path) -> h5py.File | None:
    """The file of an earlier run; ``None`` if there is none, or none that was whole before its first row.

    Raises:
        BlockingIOError: another process is writing it.
    """
    import h5py

    try:
        return h5py.File(partial, "r+")
    except BlockingIOError:
        raise
    except OSError:
        return None


def _check_room(partial: Path, size: int) -> None:
    """Whether the disk has room, before the members are run for hours; HDF5 could not even close a file without.

    Raises:
        OSError: it has not, or the file cannot be made.
    """
    partial.unlink(missing_ok=True)
    with open(partial, "xb") as stream:
        try:
            os.posix_fallocate(stream.fileno(), 0, size + _OVERHEAD)
        except OSError as error:
            raise OSError(error.errno, error.strerror, os.fspath(partial)) from error
        finally:
            partial.unlink()


def _created(
    partial: Path,
    lengths: Mapping[str, NDArray[np.integer[Any]]],
    classes: int,
    top_k: int,
    members: Sequence[str],
) -> h5py.File:
    """A new file in which everything has its place.

    Raises:
        OSError: it cannot be made.
    """
    import h5py

    file = h5py.File(partial, "x")
    file.attrs.update(
        format=FORMAT, version=VERSION, software=f"ednd_nmt {__version__}", classes=classes, top_k=top_k,
        members=list(members),
    )  # fmt: skip
    in_place = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    in_place.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    in_place.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    for name, of in lengths.items():
        group = file.create_group(name)
        group.create_dataset("offsets", data=np.concatenate([[0], np.cumsum(of, dtype=np.int64)]))
        group.create_dataset("rows", (int(np.sum(of)),), row_type(top_k, classes), dcpl=in_place)
    for name in ("probability", "log_probability"):
        file.create_dataset(f"{TAIL}/{name}", (classes,), np.float32, dcpl=in_place)
    file.flush()
    return file
