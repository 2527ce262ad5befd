"""Assembling the page: one file, no request to anywhere, and nothing in the data can become code."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ednd_nmt.evaluation.evaluate import Evaluation

ASSETS = Path(__file__).parent / "assets"
SCRIPTS = ("dom.js", "charts.js", "figures.js", "sentences.js", "main.js")
TITLE = "Uncertainty report"
SENTENCES = 200  # of each set that are listed


def save_report(
    evaluation: Evaluation, path: str | os.PathLike[str], title: str = TITLE, sentences: int = SENTENCES
) -> int:
    """Write the page of an evaluation; returns its size in bytes.

    Args:
        evaluation: what is shown; the tokens of the listed sentences are read from its files once more.
        path: the file, which appears whole or not at all.
        title: heading of the page.
        sentences: at most so many sentences of each set are listed.
    """
    from ednd_nmt.evaluation.report.data import report_data
    from ednd_nmt.files import atomic_writer

    page = render_page(report_data(evaluation, title, sentences))
    with atomic_writer(path) as stream:
        stream.write(page)
    return len(page.encode())


def render_page(data: dict[str, Any]) -> str:
    """The HTML of the page that shows ``data`` (see :mod:`ednd_nmt.evaluation.report.data`).

    The data are JSON in a script element that browsers do not run, with ``<``, ``>`` and ``&`` escaped, so
    that ``</script>`` in a sentence stays text; the scripts put text on the page through ``textContent``
    only. The content security policy allows the page's own script and style by their hashes, and no request
    at all.
    """
    script = "\n".join(_asset(name) for name in SCRIPTS)
    style = _asset("report.css")
    policy = f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:"
    parts = {
        "POLICY": html.escape(policy, quote=True),
        "TITLE": html.escape(data["title"]),
        "STYLE": style,
        "DATA": embedded_json(data),
        "SCRIPT": script,
    }
    page = _asset("report.html")
    # One pass over the template: a marker inside the data is not a marker.
    pieces = page.split("%%")
    return "".join(parts[piece] if i % 2 else piece for i, piece in enumerate(pieces))


def embedded_json(data: Any) -> str:
    """JSON that can stand inside a script element whatever strings it holds."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8").strip()


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
