"""What the examples share: the choices behind their figures as a signature, JSON results, and Markdown tables."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ednd_nmt
from ednd_nmt.errors import UserError
from ednd_nmt.evaluation.score import Signature
from ednd_nmt.files import atomic_writer


def signature(settings: Mapping[str, Any], *packages: str) -> str:
    """The settings and the versions of Python, of this package and of ``packages``, as ``name:value|...``."""
    versions = {name: version(name) for name in packages}
    own = {"ednd_nmt": ednd_nmt.__version__, "python": platform.python_version()}
    return Signature({**settings, **versions, **own}).format()


def write_json(path: str | os.PathLike[str], results: Mapping[str, Any]) -> None:
    """Write results as readable JSON, whole or not at all.

    Raises:
        UserError: ``path`` cannot be written to.
    """
    with atomic_writer(path) as stream:
        json.dump(results, stream, indent=1, ensure_ascii=False, allow_nan=False)
        stream.write("\n")


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose first column is text and whose other columns are numbers."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "".join(f"| {' | '.join(row)} |\n" for row in [header, rule, *rows])


def filled(page: str, texts: Mapping[str, str]) -> str:
    """``page`` with each text between the lines ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->`` of its name.

    Raises:
        UserError: the page lacks a mark.
    """
    for name, text in texts.items():
        marks = [f"<!-- {name}: {place} -->\n" for place in ("begin", "end")]
        before, begin, rest = page.partition(marks[0])
        _, end, after = rest.partition(marks[1])
        if not begin or not end:
            raise UserError(
                f"The page has no place for {name}: the lines {' and '.join(map(str.strip, marks))}."
            )
        page = f"{before}{begin}\n{text}\n{end}{after}"
    return page


def fill_page(path: Path, texts: Mapping[str, str]) -> None:
    """Write a page anew, whole or not at all, with what :func:`filled` makes of it.

    Raises:
        UserError: there is no such page, or it lacks a mark.
    """
    if not path.is_file():
        raise UserError(f"There is no page {path} to write the tables to.")
    page = filled(path.read_text(encoding="utf-8"), texts)
    with atomic_writer(path) as stream:
        stream.write(page)
