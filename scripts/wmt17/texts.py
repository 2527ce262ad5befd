"""Lines of text out of the archives. They are read where they are: nothing that an archive names is ever written."""

from __future__ import annotations

import contextlib
import re
import sys
import tarfile
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest
from pathlib import Path

from scripts.corpus.errors import FetchError

_SEGMENT = re.compile(rb"<seg\b.*?>(.*)</seg>")


def members(archive: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, Iterator[bytes]]]:
    """``(name, lines)`` of the regular files whose name (without ``./``) is wanted, as archived.

    The lines of one must be read before the next is asked for.

    Raises:
        FetchError: the archive is damaged.
    """
    with _damage_told(archive), tarfile.open(archive, mode="r|*") as tar:
        for entry in tar:
            name = entry.name.removeprefix("./")
            if entry.isfile() and wanted(name):
                yield name, _lines(archive, tar.extractfile(entry) or ())


def _lines(archive: Path, content: Iterable[bytes]) -> Iterator[bytes]:
    with _damage_told(archive):
        yield from content


@contextlib.contextmanager
def _damage_told(archive: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, zlib.error, EOFError) as error:
        raise FetchError(
            f"{archive} is damaged ({error}); delete it and run the same command again."
        ) from error


def member_lines(archive: Path, member: str) -> Iterator[bytes]:
    """The lines of one member.

    Raises:
        FetchError: the archive is damaged, or has no such file.
    """
    for _, lines in members(archive, member.__eq__):
        yield from lines
        return
    raise FetchError(f"{archive} has no file {member}; another release of it? See the table of archives.")


def parallel(first: Iterable[bytes], second: Iterable[bytes], name: str) -> Iterator[tuple[bytes, bytes]]:
    """Lines of two sides in pairs.

    Raises:
        FetchError: one side has more lines.
    """
    for number, (one, other) in enumerate(zip_longest(first, second)):
        if one is None or other is None:
            raise FetchError(f"{name}: one side ends after {number} lines, the other has more.")
        yield one, other


def segments(lines: Iterable[bytes], faults: Counter[str]) -> Iterator[str]:
    """The segments of a WMT test set in SGML, one per line of the file; entities stay as sacreBLEU leaves them."""
    for line in lines:
        if found := _SEGMENT.search(line):
            yield clean(found[1], faults)


def transcripts(archive: Path, faults: Counter[str]) -> Iterator[str]:
    """LibriSpeech's transcripts, by speaker, chapter and number, as the paper writes them: ``A plain sentence.``"""
    texts: dict[tuple[int, ...], str] = {}
    for name, lines in members(archive, lambda name: name.endswith(".trans.txt")):
        for line in lines:
            utterance, _, text = clean(line, faults).partition(" ")
            if not re.fullmatch(r"\d+-\d+-\d+", utterance):
                raise FetchError(f"{archive}: {name} is no list of LibriSpeech transcripts.")
            texts[tuple(map(int, utterance.split("-")))] = text
    if not texts:
        raise FetchError(f"{archive} has no LibriSpeech transcripts (*.trans.txt).")
    for key in sorted(texts):
        yield texts[key].capitalize() + "."


def clean(line: bytes, faults: Counter[str]) -> str:
    """One line without control characters, its white space made single blanks.

    Bytes that are not UTF-8 become U+FFFD, and the line is counted: none is dropped, or the sides would no longer match.
    """
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        faults["lines that are not UTF-8"] += 1
        text = line.decode("utf-8", "replace")
    return " ".join(_NOT_PRINTABLE.sub(" ", text).split())


def _not_printable() -> re.Pattern[str]:
    """One character of Unicode's category C: controls, formats, private and unassigned ones."""
    codes = [code for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)).startswith("C")]
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return re.compile("[" + "".join(f"{re.escape(chr(a))}-{re.escape(chr(b))}" for a, b in ranges) + "]")


_NOT_PRINTABLE = _not_printable()
