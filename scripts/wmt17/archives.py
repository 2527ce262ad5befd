"""The table of archives: where each is, and how it is known to be the right one."""

from __future__ import annotations

import dataclasses
import urllib.parse
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ednd_nmt.errors import UserError
from ednd_nmt.files import read_json

TABLE = Path(__file__).with_name("archives.json")
_FIELDS = {"url": str, "bytes": int, "sha256": str, "md5": str, "checksum_from": str}


@dataclasses.dataclass(frozen=True)
class Archive:
    """One archive and its public place.

    ``sha256`` or ``md5`` is a checksum that others have published, ``checksum_from`` names who. An archive that has
    neither is trusted at its first fetch: see :func:`scripts.wmt17.download.fetch`.
    """

    name: str
    url: str
    bytes: int | None = None
    sha256: str | None = None
    md5: str | None = None
    checksum_from: str | None = None

    @property
    def file(self) -> str:
        """Its name in the cache: file names of their own are used by several archives."""
        return f"{self.name}-{PurePosixPath(urllib.parse.urlsplit(self.url).path).name}"

    def places(self, mirrors: Sequence[str]) -> list[str]:
        """Where to look for it: the public place or, in place of its host, each mirror."""
        path = urllib.parse.urlsplit(self.url).path
        return [mirror.rstrip("/") + path for mirror in mirrors] or [self.url]


def read_table(path: Path = TABLE) -> dict[str, Archive]:
    """The archives of a table by name.

    Raises:
        UserError: the file is no such table.
    """
    table = read_json(path)
    archives = {}
    for name, entry in table.items() if isinstance(table, dict) else ():
        known = isinstance(entry, dict) and all(
            isinstance(value, _FIELDS.get(field, ())) for field, value in entry.items()
        )
        if not known or urllib.parse.urlsplit(entry.get("url", "")).scheme not in ("http", "https"):
            raise UserError(
                f"{path}: the archive {name!r} needs an http(s) `url` and may have {', '.join([*_FIELDS][1:])}."
            )
        archives[name] = Archive(name, **entry)
    if not archives:
        raise UserError(f"{path} is no table of archives; see {TABLE.name} for what it looks like.")
    return archives
