"""Reading raw text line by line, and saying clearly when it is none."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import IO

from ednd_nmt.errors import UserError


def text_lines(
    stream: IO[bytes], name: str, remedy: str = "convert it first, as in iconv -f LATIN1 -t UTF-8"
) -> Iterator[str]:
    """The lines of a stream in UTF-8, without their ends: ``\\n`` or ``\\r\\n``, nothing else ends a line.

    A byte order mark at the very beginning is no part of the text.

    Args:
        stream: the text.
        name: what a message calls it.
        remedy: what to do if it is not UTF-8.

    Raises:
        UserError: a line is not UTF-8 or holds a zero byte, as in a binary file.
    """
    for number, line in enumerate(stream, start=1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise UserError(f"Line {number} of {name} is not UTF-8 text; {remedy}.") from None
        if "\0" in text:
            raise UserError(
                f"Line {number} of {name} holds a zero byte; give plain text in UTF-8, one sentence per line."
            )
        yield text.removesuffix("\n").removesuffix("\r")


def read_lines(path: str | os.PathLike[str], remedy: str = "check its path") -> list[str]:
    """All lines of a text file, as of :func:`text_lines`.

    Args:
        path: the file.
        remedy: what to do if it cannot be read.

    Raises:
        UserError: it cannot be read, or is no text in UTF-8.
    """
    try:
        with open(path, "rb") as stream:
            return list(text_lines(stream, os.fspath(path)))
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}; {remedy}.") from error


def paired_lines(
    sources: Iterable[str], targets: Iterable[str], names: tuple[str, str]
) -> Iterator[tuple[str, str]]:
    """Line by line of two texts.

    Raises:
        UserError: one of them ends before the other; both line counts are named.
    """
    ours, theirs, missing = iter(sources), iter(targets), object()
    number = 0
    while True:
        first, second = next(ours, missing), next(theirs, missing)
        if first is missing and second is missing:
            return
        if first is missing or second is missing:
            counts = [number + (side is not missing) + sum(1 for _ in rest)
                      for side, rest in ((first, ours), (second, theirs))]  # fmt: skip
            raise UserError(
                f"{names[0]} has {counts[0]} lines and {names[1]} {counts[1]}; every source needs exactly one translation."
            )
        number += 1
        yield str(first), str(second)
