"""The study's page with the tables of its JSON files.

    python -m examples.study.page examples/study

fills README.md in that folder, between its marks, with the tables of curves.json, results.json, cost.json,
paired.json, prior_weight_curves.json, prior_weight.json, tail.json, labels.json, more_text.json, longer_curves.json,
longer.json, longer_cost.json, side_by_side_curves.json, side_by_side.json, side_by_side_cost.json, longer_members.json,
longer_mixed.json, quick_start_again.json and weighting.json.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ednd_nmt.errors import UserError, exit_status
from ednd_nmt.files import read_json
from examples.reporting import fill_page
from examples.study import cost, curves, tables, weighting


def _curves(found: Mapping[str, Any]) -> str:
    return curves.table(
        {
            kind: {int(update): bits for update, bits in of_kind.items()}
            for kind, of_kind in found["bits_per_token"].items()
        }
    )


TABLES: Mapping[str, Callable[[Any], str]] = {
    "curves": _curves,
    "results": tables.tables,
    "cost": cost.table,
    "paired": tables.paired_table,
    "prior_weight_curves": _curves,
    "prior_weight": partial(tables.kinds_table, kind="released_2100", other="updates_2100"),
    "tail": tables.means_table,
    "labels": tables.paired_table,
    "more_text": tables.paired_table,
    "longer_curves": _curves,
    "longer": tables.paired_table,
    "longer_cost": cost.table,
    "side_by_side_curves": _curves,
    "side_by_side": tables.paired_table,
    "side_by_side_cost": cost.table,
    "longer_members": tables.paired_table,
    "longer_mixed": tables.paired_table,
    "quick_start_again": tables.paired_table,
    "weighting": weighting.tables,
}
"""Name of a JSON file, and of the marks in the page -> what makes the tables of its content."""


def texts(folder: Path) -> dict[str, str]:
    """The tables by the names of their marks.

    Raises:
        UserError: a file is missing, is no JSON, or holds something else.
    """
    found = {}
    for name, make in TABLES.items():
        content = read_json(folder / f"{name}.json")
        try:
            found[name] = make(content)
        except (AttributeError, IndexError, KeyError, StopIteration, TypeError) as error:
            raise UserError(f"{folder / name}.json has no {name} of a study; make it again.") from error
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="with README.md and the JSON files")
    return exit_status(partial(_fill, parser.parse_args(arguments).folder))


def _fill(folder: Path) -> None:
    fill_page(folder / "README.md", texts(folder))


if __name__ == "__main__":
    sys.exit(main())
