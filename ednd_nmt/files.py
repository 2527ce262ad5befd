"""Writing files so that no half-written file is ever seen under its final name, and reading small ones of our own."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import IO, Any, TypeVar

from ednd_nmt.errors import UserError

_Kind = TypeVar("_Kind")
_DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


@contextlib.contextmanager
def atomic_writer(path: str | os.PathLike[str]) -> Iterator[IO[str]]:
    """Open ``path`` for writing; the file appears under its name only when the block ends without an error.

    The text is written as UTF-8 with ``\\n`` line ends to ``<name>.partial`` in the same folder, flushed to disk and
    renamed over ``path`` (atomic on POSIX). After an exception the partial file is removed and an existing ``path`` stays
    as it was. A link stays a link, and a device or a named pipe is written to as it is.

    Raises:
        UserError: the folder of ``path`` cannot be made or written to, ``path`` is a folder, or another process writes it.
    """
    final = resolved_output(path)
    if is_special(final):
        with special_writer(final) as stream:
            yield stream
        return
    partial = partial_of(final)
    stream = open_alone(partial, final)
    try:
        stream.truncate(0)  # of a run that was killed
        with disk_faults_named(path):
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, final)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    finally:
        close_anyway(stream)  # and with it the lock


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name for a file or a folder that others write: it becomes ``path`` when the block ends without an error.

    A folder takes the place of the one that is there already. After an exception nothing is left.

    Raises:
        UserError: there is a device or a pipe of that name, which the file would replace.
    """
    refuse_special(path)
    partial = partial_of(path)
    _remove(partial)
    try:
        with disk_faults_named(path):
            yield partial
        if partial.is_dir():
            _remove(path)
        os.replace(partial, path)
    except BaseException:
        _remove(partial)
        raise


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def special_writer(path: str | os.PathLike[str]) -> Iterator[IO[str]]:
    """A device or a named pipe, written to as it is.

    Raises:
        UserError: it cannot be opened.
    """
    stream = open_output(Path(path))
    try:
        with disk_faults_named(path):
            yield stream
            stream.flush()
    finally:
        close_anyway(stream)


def resolved_output(path: str | os.PathLike[str]) -> Path:
    """Where ``path`` leads, its folder made.

    Raises:
        UserError: the folder cannot be made, or ``path`` is a folder itself.
    """
    given = Path(path)
    try:
        # /dev/stdout and its like lead to names that no file system has
        final = given if is_special(given) else Path(os.path.realpath(given))
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    except OSError as error:
        raise cannot_write(given, error) from error
    return final


def is_special(path: Path) -> bool:
    """Whether ``path`` is there and is neither a file nor a folder: a device, a pipe, a terminal."""
    return path.exists() and not path.is_file() and not path.is_dir()


def figures_beside(*outputs: str | os.PathLike[str] | None) -> IO[str] | None:
    """Where a command prints its figures: on standard output, or on standard error if one of ``outputs`` goes there itself.

    To be asked before they are written, which may put a new file in the place of the old one. None is no output.
    """
    return sys.stderr if any(map(_is_standard_output, outputs)) else sys.stdout


def _is_standard_output(output: str | os.PathLike[str] | None) -> bool:
    try:
        return output is not None and os.path.samestat(os.stat(output), os.fstat(1))
    except OSError:  # no such file yet, or a closed standard output
        return False


def refuse_own_input(output: str | os.PathLike[str], inputs: Iterable[str | os.PathLike[str]]) -> None:
    """Keep a command from writing over the only copy of what it reads.

    Args:
        output: what is going to be written.
        inputs: files that are read. What is no path is passed over.

    Raises:
        UserError: ``output`` is one of them.
    """
    output = Path(output)
    if output.is_file() and any(_is_same(path, output) for path in inputs):
        raise UserError(
            f"{output} is read by the same command, which would write over it; choose another output."
        )


def check_outputs(paths: Iterable[str | os.PathLike[str]]) -> None:
    """Refuse outputs that would fail when all is computed; none of them is touched.

    Raises:
        UserError: two of them are one file, or the folder of one cannot be made or written to.
    """
    seen = set()
    for given in map(Path, paths):
        if is_special(given):
            continue
        final = Path(os.path.realpath(given))
        if final in seen:
            raise UserError(
                f"{given} is named as an output twice, and one would be written over the other; give each a name of its own."
            )
        seen.add(final)
        there = next(folder for folder in final.parents if folder.exists())
        if not there.is_dir():
            raise cannot_write(given, NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)))
        if not os.access(there, os.W_OK | os.X_OK):
            raise cannot_write(given, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def _is_same(path: str | os.PathLike[str], other: Path) -> bool:
    try:
        return os.path.samefile(path, other)
    except (OSError, ValueError):  # there is no such file, or no file system has such a name
        return False


def refuse_special(path: Path) -> None:
    """Raises:
    UserError: ``path`` is a device or a pipe, where a file is needed that can be read again.
    """
    if is_special(path):
        raise UserError(
            f"Cannot write {path}: it is a device or a pipe and no file; choose another output path."
        )


def refuse_pipe(path: Path, reason: str) -> None:
    """Raises:
    UserError: ``path`` is a device or a pipe, which can be read only once; ``reason`` says what reads it twice.
    """
    if is_special(path):
        raise UserError(f"{path} is a device or a pipe, and {reason} reads it twice; give a file.")


def partial_of(final: Path) -> Path:
    """The name of an unfinished file."""
    return final.with_name(final.name + ".partial")


def open_output(path: Path, mode: str = "w") -> IO[str]:
    """``path`` open for UTF-8 text with ``\\n`` line ends.

    Raises:
        UserError: it cannot be opened.
    """
    try:
        return open(path, mode, encoding="utf-8", newline="\n")
    except OSError as error:
        raise cannot_write(path, error) from error


def open_alone(partial: Path, final: Path) -> IO[str]:
    """``partial``, in which ``final`` is made, open for adding UTF-8 text, and locked.

    Raises:
        UserError: it cannot be opened, or another process has it open.
    """
    stream = open_output(partial, "a+")
    if not lock_alone(stream, partial):
        stream.close()
        raise UserError(f"Another run is writing {final}; wait for its end or choose another output path.")
    return stream


def lock_alone(stream: IO[Any], path: Path) -> bool:
    """Whether nobody else writes the open file, or has put it in place since it was opened; it is locked from then on."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system that knows no locks
        return True
    try:
        return os.path.samestat(os.fstat(stream.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def close_anyway(stream: IO[str]) -> None:
    """Close a stream whose last bytes may not find room: the fault that counts has been raised before."""
    with contextlib.suppress(OSError):
        stream.close()


@contextlib.contextmanager
def disk_faults_named(name: str | os.PathLike[str]) -> Iterator[None]:
    """Have an error of a full or failing disk name the file, which that of a ``write`` does not.

    That of a copy names the file that was copied, and torch raises an error of its own after the disk's.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        fault = _disk_fault_behind(error)
        if fault is None or (fault is error and fault.filename is not None and fault.filename2 is None):
            raise
        raise OSError(fault.errno, fault.strerror, os.fspath(name)) from error


@contextlib.contextmanager
def library_faults_named(name: str | os.PathLike[str]) -> Iterator[None]:
    """Have an error of HDF5 or safetensors be the system's own, whose number they tell in their message alone."""
    try:
        yield
    except Exception as error:
        number = re.search(r"\b(?:errno =|os error) (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), os.fspath(name)) from error


def is_disk_fault(error: BaseException) -> bool:
    """Whether an error is that of a full or failing disk."""
    return isinstance(error, OSError) and error.errno in _DISK_FAULTS


def _disk_fault_behind(error: BaseException | None) -> OSError | None:
    while error is not None:
        if isinstance(error, OSError) and is_disk_fault(error):
            return error
        error = error.__cause__ or error.__context__
    return None


def cannot_write(path: Path, error: OSError) -> UserError:
    """What to tell the user when ``path`` could not be opened for writing."""
    no_folder = isinstance(error, FileExistsError | NotADirectoryError)
    reason = f"{path.parent} is not a folder" if no_folder else error.strerror
    return UserError(f"Cannot write {path}: {reason}; choose another output path.")


def read_json(path: str | os.PathLike[str]) -> Any:
    """The value that a JSON file holds.

    Raises:
        UserError: the file cannot be read, or holds no JSON.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {error}.") from error


def from_json(kind: type[_Kind], record: Any, where: str) -> _Kind:
    """A dataclass of plain values from its JSON object; ``where`` names the object in the message.

    Fields are str, int, float or tuples of these; a float may be a whole number, and a tuple is a list.

    Raises:
        UserError: it is no object, or a field is unknown, of another type, or missing and without a default.
    """
    known = {field.name: str(field.type) for field in fields(kind)}  # type: ignore[arg-type]
    needed = [field.name for field in fields(kind) if field.default is MISSING]  # type: ignore[arg-type]
    if not isinstance(record, dict):
        raise UserError(f"{where} is not an object of JSON; it must have {', '.join(known)}.")
    values = {name: _plain_value(value, known.get(name, "")) for name, value in record.items()}
    wrong = [name for name in (*record, *needed) if values.get(name) is None]
    if wrong:
        raise UserError(
            f"{where} has a wrong, missing or unknown field ({wrong[0]}); it must have {', '.join(known)}."
        )
    return kind(**values)


def _plain_value(value: Any, of_type: str) -> Any:
    """A value of JSON as one of the type; None if it is of another."""
    if of_type.startswith("tuple["):
        of_items = of_type.removeprefix("tuple[").partition(",")[0]
        items = tuple(_plain_value(item, of_items) for item in value) if isinstance(value, list) else (None,)
        return None if None in items else items
    if type(value) not in {"str": (str,), "int": (int,), "float": (int, float)}.get(of_type, ()):
        return None
    try:
        return float(value) if of_type == "float" else value
    except OverflowError:
        return None


def checksum(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
