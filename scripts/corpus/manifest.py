"""The manifest: what the corpus was made from and what came out. No times, paths or host names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ednd_nmt.files import atomic_writer

from .apt import Package, PackageList

FORMAT = "ednd-nmt.corpus"
VERSION = 1


def package_entries(packages: Iterable[Package]) -> dict[str, dict[str, str]]:
    """Version and checksum of each package by its name."""
    return {package.name: {"version": package.version, "sha256": package.sha256} for package in packages}


def list_entries(lists: Iterable[PackageList]) -> dict[str, str]:
    """Checksum of each (uncompressed) translation list by suite, component and language."""
    return {
        f"{each.suite}/{each.component}/Translation-{each.language}": hashlib.sha256(
            each.read().encode()
        ).hexdigest()
        for each in lists
    }


def file_entries(folder: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Lines and checksum of each written file by its name in ``folder``."""
    entries = {}
    for name in names:
        lines, digest = 0, hashlib.sha256()
        with open(folder / name, "rb") as stream:
            while block := stream.read(1 << 20):
                lines += block.count(b"\n")
                digest.update(block)
        entries[name] = {"lines": lines, "sha256": digest.hexdigest()}
    return entries


def write_manifest(path: Path, content: Mapping[str, Any]) -> None:
    """Write the manifest as JSON with sorted keys."""
    with atomic_writer(path) as stream:
        json.dump(
            {"format": FORMAT, "version": VERSION, **content},
            stream,
            indent=1,
            sort_keys=True,
            ensure_ascii=False,
        )
        stream.write("\n")
