"""The study's page with the tables of its JSON files.

    python -m examples.study.page examples/study

fills README.md in that folder, between its marks, with the tables of curves.json, results.json, paired.json and
weighting.json.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from ednd_nmt.errors import exit_status
from ednd_nmt.files import read_json
from examples.reporting import fill_page
from examples.study import curves, tables, weighting


def texts(folder: Path) -> dict[str, str]:
    """The tables by the names of their marks.

    Raises:
        UserError: a file is missing or is no JSON.
    """
    found = {
        name: read_json(folder / f"{name}.json") for name in ("curves", "results", "paired", "weighting")
    }
    points = {
        kind: {int(update): bits for update, bits in of_kind.items()}
        for kind, of_kind in found["curves"]["bits_per_token"].items()
    }
    return {
        "curves": curves.table(points),
        "results": tables.tables(found["results"]),
        "paired": tables.paired_table(found["paired"]),
        "weighting": weighting.tables(found["weighting"]),
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="with README.md and the JSON files")
    return exit_status(partial(_fill, parser.parse_args(arguments).folder))


def _fill(folder: Path) -> None:
    fill_page(folder / "README.md", texts(folder))


if __name__ == "__main__":
    sys.exit(main())
