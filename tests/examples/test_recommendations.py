"""The page of recommendations cites figures of the README and of the study: all of them are still there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
STUDY = (ROOT / "examples" / "study" / "README.md").read_text(encoding="utf-8")
PAGE = (ROOT / "examples" / "recommendations.md").read_text(encoding="utf-8")

TABLES = {
    "bad translations": "Finding bad translations in test",
    "(package descriptions)": "Telling descriptions from test",
    "(everyday sentences)": "Telling ding from test",
    "the wrong language": "Telling german from test",
    "words in another order": "Telling permuted from test",
}


def measured(heading: str, measure: str) -> list[str]:
    """The figures of ensemble and student, the last two columns of the README's table under ``heading``."""
    table = README.partition(heading)[2].partition("\n\n")[0]
    (row,) = re.findall(rf"^  {measure} .*$", table, re.MULTILINE)
    return re.findall(r"[\d.]+ ±[\d.]+\*?", row)[-2:]


@pytest.mark.parametrize("wanted", TABLES)
def test_the_table_shows_the_readmes_figures(wanted: str) -> None:
    (row,) = [line for line in PAGE.splitlines() if line.startswith("| ") and wanted in line]
    _, best, _, *figures, other, ensemble, student = [cell.strip() for cell in row.strip("|").split("|")]
    assert figures == measured(TABLES[wanted], best.split()[0])
    assert [ensemble, student] == measured(TABLES[wanted], other)


DIFFERENCES = {
    f"{float(first) - float(second):.1f}"
    for first, second in [("93.9", "88.9"), ("72.7", "70.8"), ("94.8", "74.5"), ("93.7", "86.0")]
}
"""What the page says of two measures of the table above."""


FIGURE = r"[\d.]+ ±[\d.]+|\d+\.\d+\b"


def test_figures_are_the_readmes_or_the_studys() -> None:
    figures = set(re.findall(FIGURE, PAGE))
    assert len(figures) > 40
    assert not figures - set(re.findall(FIGURE, README + STUDY)) - DIFFERENCES
