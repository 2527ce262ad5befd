"""Fetching large files over HTTP: resumed where it broke off, and believed only when the checksum is right."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ednd_nmt.files import atomic_writer, disk_faults_named, partial_of, read_json
from scripts.corpus.errors import FetchError
from scripts.corpus.progress import say

from .archives import Archive

CHECKSUMS = "checksums.json"
"""In the cache: the SHA-256 of the archives that nobody has published a checksum of, as they were first fetched."""

ATTEMPTS = 3
"""Connections in a row that may bring nothing before a place is given up."""

TIMEOUT_SECONDS = 60
PROGRESS_SECONDS = 15
_BLOCK = 1 << 18


class _BrokenConnectionError(Exception):
    """The connection broke; what came is kept."""


def fetch(archive: Archive, cache: Path, mirrors: Sequence[str] = ()) -> Path:
    """The archive's file in ``cache``: fetched if it is not there, and verified in any case.

    Against what it is verified: the checksum that the table has of it; without one the SHA-256 that
    ``checksums.json`` in the cache has from its first fetch, which is then the one that is trusted. What an interrupted
    fetch left is gone on with, unless nothing would tell whether both parts are of the same file.

    Raises:
        FetchError: no place gives the file, or none gives the right one. Nothing is left under its name.
    """
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / archive.file
    expected = _expected(archive, cache)
    if path.exists():
        if expected is not None and _digest(path, expected[0]) == expected[1]:
            say(f"{archive.name}: as cached")
            return path
        say(f"{archive.name}: the file in the cache is not the right one; fetching it again")
        path.unlink()
    partial = partial_of(path)
    problems = []
    for place in archive.places(mirrors):
        if expected is None:
            partial.unlink(missing_ok=True)
        try:
            _download(place, partial, archive)
            _verify(place, partial, expected)
        except FetchError as error:
            problems.append(str(error))
        else:
            os.replace(partial, path)
            if expected is None:
                _record(archive, cache, path)
            return path
    raise FetchError("; ".join(problems) + ".")


def describe(archive: Archive, path: Path) -> dict[str, Any]:
    """What the corpus's manifest says of an archive: its address, checksum, and whose word for it we have."""
    return {
        "url": archive.url,
        "sha256": _digest(path, "sha256"),
        "checksum_from": archive.checksum_from or "first fetch",
    }


def _download(url: str, partial: Path, archive: Archive) -> None:
    """Fetch ``url`` into ``partial``, going on after what is there."""
    attempts = 0
    while True:
        before = _size(partial)
        try:
            _receive(url, partial, archive)
            return
        except _BrokenConnectionError as error:
            attempts = 1 if _size(partial) > before else attempts + 1
            if attempts >= ATTEMPTS:
                raise FetchError(
                    f"{url} broke off after {_size(partial)} bytes ({error}); what came is kept, so run the same "
                    "command again"
                ) from error
            say(f"{archive.name}: the connection broke ({error}); trying again")
            time.sleep(attempts)


def _receive(url: str, partial: Path, archive: Archive) -> None:
    """One request, and its answer to the end of ``partial``."""
    have = _size(partial)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with _broken_connections(), urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
            start, total = _extent(response, have)
            if archive.bytes is not None and total not in (None, archive.bytes):
                raise FetchError(f"{url} has {total} bytes where the right file has {archive.bytes}")
            _store(response, partial, start, total, archive.name)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
                if error.headers.get("Content-Range") == f"bytes */{have}":
                    return  # it was whole
                partial.unlink()
                raise _BrokenConnectionError("what was there does not fit") from error
            if error.code >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
                raise _BrokenConnectionError(f"status {error.code}") from error
            raise FetchError(
                f"{url} cannot be had (status {error.code}, {error.reason}); name another place with --mirror"
            ) from error


def _store(
    response: http.client.HTTPResponse, partial: Path, start: int, total: int | None, name: str
) -> None:
    """Write what comes into ``partial`` from byte ``start`` on."""
    size, told = start, time.monotonic()
    with disk_faults_named(partial), open(partial, "ab") as stream:
        stream.truncate(start)
        while block := _read(response):
            stream.write(block)
            size += len(block)
            if time.monotonic() >= told + PROGRESS_SECONDS:
                told = time.monotonic()
                say(f"{name}: {size / 1e6:.0f}" + (f" of {total / 1e6:.0f} MB" if total else " MB"))
    if total is not None and size < total:
        raise _BrokenConnectionError(f"{total - size} bytes are missing")
    say(f"{name}: {size / 1e6:.1f} MB fetched" + (f", {start / 1e6:.1f} of them before" if start else ""))


def _read(response: http.client.HTTPResponse) -> bytes:
    with _broken_connections():
        return response.read(_BLOCK)


@contextlib.contextmanager
def _broken_connections() -> Iterator[None]:
    """Tell faults of the network from those of the disk, which are ``OSError`` likewise."""
    try:
        yield
    except (urllib.error.HTTPError, _BrokenConnectionError, FetchError):
        raise
    except urllib.error.URLError as error:
        raise _BrokenConnectionError(str(error.reason)) from error
    except (ConnectionError, TimeoutError, ssl.SSLError, http.client.HTTPException) as error:
        raise _BrokenConnectionError(str(error) or type(error).__name__) from error


def _extent(response: http.client.HTTPResponse, have: int) -> tuple[int, int | None]:
    """Where the answer starts in the file, and the size of the whole file if the server says so."""
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:  # a server that does not resume sends all of it
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdigit() else None
    given = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if given is None or int(given[1]) != have:
        raise _BrokenConnectionError("the server sent another part than it was asked for")
    return have, None if given[2] == "*" else int(given[2])


def _expected(archive: Archive, cache: Path) -> tuple[str, str] | None:
    """Algorithm and checksum that the archive must have, if anything is known of it."""
    if archive.sha256 is not None:
        return "sha256", archive.sha256
    if archive.md5 is not None:
        return "md5", archive.md5
    recorded = _recorded(cache).get(archive.file)
    return None if recorded is None else ("sha256", recorded)


def _verify(url: str, partial: Path, expected: tuple[str, str] | None) -> None:
    if expected is None:
        return
    algorithm, checksum = expected
    found = _digest(partial, algorithm)
    if found != checksum:
        partial.unlink()
        raise FetchError(
            f"{url} gave a file with the {algorithm} {found} and not {checksum}, which was removed; run the same "
            "command again, or name another place with --mirror"
        )


def _recorded(cache: Path) -> dict[str, str]:
    return read_json(cache / CHECKSUMS) if (cache / CHECKSUMS).exists() else {}


def _record(archive: Archive, cache: Path, path: Path) -> None:
    checksum = _digest(path, "sha256")
    with atomic_writer(cache / CHECKSUMS) as stream:
        json.dump({**_recorded(cache), archive.file: checksum}, stream, indent=1, sort_keys=True)
    say(f"{archive.name}: no published checksum is known; from now on it must have the sha256 {checksum}")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _digest(path: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm)
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
