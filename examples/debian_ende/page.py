"""The figures of a finished quick start in the pages that show them.

    python -m examples.debian_ende.page --run runs/quick   # keeps the run's figures in examples/debian_ende/results
    python -m examples.debian_ende.page                    # from what is kept

fills README.md and examples/recommendations.md between their marks: the table as the run printed it, what ensemble and
student are better in than a single model, what acting on the uncertainties gained, and which measure finds what.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ednd_nmt.errors import UserError, exit_status
from ednd_nmt.files import atomic_writer, read_json
from examples.reporting import fill_page, markdown_table, write_json
from examples.study.tables import ENSEMBLE, SIGNIFICANT, SINGLE, kept, paired_table, read_evaluation

ROOT = Path(__file__).resolve().parents[2]
KEPT = Path(__file__).resolve().parent / "results"
SYSTEMS = ("ensemble", "student")
# What there is to find: its words in the page, its figure and set, the measure to use, and the one to compare it with.
PURPOSES = (
    ("bad translations of in-domain text", "PRR", "test", "sTU", "MKL"),
    ("another kind of text (package descriptions)", "ROC-AUC", "descriptions", "sTU", "MKL"),
    ("another kind of text (everyday sentences)", "ROC-AUC", "ding", "sTU", "MKL"),
    ("the wrong language (German as source)", "ROC-AUC", "german", "MKL", "sTU"),
    ("words in another order", "ROC-AUC", "permuted", "MKL", "sTU"),
)


def keep(run: Path, folder: Path = KEPT) -> None:
    """Copy the figures of a finished run that the pages are made of.

    Raises:
        UserError: the run lacks a file, or one is something else.
    """
    table = run / "table.txt"
    if not table.is_file():
        raise UserError(f"There is no {table}; give the folder of a finished quick start.")
    results = kept(read_evaluation(run / "results.json"))
    payoffs = {system: read_json(run / "acting" / system / "payoff.json") for system in SYSTEMS}
    folder.mkdir(exist_ok=True)
    with atomic_writer(folder / "table.txt") as stream:
        stream.write(table.read_text(encoding="utf-8"))
    write_json(folder / "results.json", results)
    for system, payoff in payoffs.items():
        write_json(folder / f"payoff-{system}.json", payoff)


def printed_table(folder: Path) -> str:
    """The table of the evaluation as it was printed."""
    return f"```\n{(folder / 'table.txt').read_text(encoding='utf-8')}```\n"


def single_table(folder: Path) -> str:
    """What ensemble and student have more than a single model, in the figures that it has as well."""
    results = read_json(folder / "results.json")
    compared = [entry for entry in results["comparisons"] if entry["system"] in SYSTEMS]
    return paired_table(results | {"comparisons": compared}, SINGLE)


def payoff_table(folder: Path) -> str:
    """What reranking and abstaining gained, a row per system and set with references; then what else was abstained on."""
    rows, unknown = [], []
    for system in SYSTEMS:
        payoff = read_json(folder / f"payoff-{system}.json")
        for path, found in payoff["sets"].items():
            name = Path(path).stem
            if found["reranked"] is None:
                unknown.append(f"{100 * found['abstained']:.0f} % of {name} ({system})")
                continue
            reranks = payoff["decision"]["rerank"]["penalty"] > 0
            rows.append(
                [
                    f"{system}, {name}",
                    f"{found['searched']:.2f}",
                    _gain(found["reranked"]) if reranks else "",
                    f"{100 * (1 - found['abstained']):.0f} %",
                    _gain(found["kept"]),
                    _gain(found["budget"]),
                ]
            )
        share = payoff["share"]
    header = [
        "",
        "BLEU",
        "reranked",
        "kept by the threshold",
        "gain",
        f"{100 * (1 - share):.0f} % kept, gain",
    ]
    notes = f"\nWithout references: abstained on {', '.join(unknown)}.\n" if unknown else ""
    return markdown_table(header, rows) + notes


def _gain(gain: Mapping[str, Any] | None) -> str:
    if gain is None:  # nothing is kept
        return ""
    low, high = gain["interval"]["low"], gain["interval"]["high"]
    return f"{gain['difference']:+.2f} [{low:+.2f}, {high:+.2f}]"


def measures_table(folder: Path) -> str:
    """Which measure finds what: the one to use, and the alternative, of ensemble and student."""
    results = read_json(folder / "results.json")
    scores = {
        (entry["system"], entry["figure"], entry["set"], entry["measure"]): entry
        for entry in results["scores"]
    }
    differing = {
        (entry["system"], entry["figure"], entry["set"], entry["measure"])
        for entry in results["comparisons"]
        if entry["baseline"] == ENSEMBLE and entry["p_value"] < SIGNIFICANT
    }

    def cell(system: str, figure: str, name: str, measure: str) -> str:
        key = system, figure, name, measure
        entry = scores[key]
        margin = (entry["confidence"]["high"] - entry["confidence"]["low"]) / 2
        return f"{entry['score']:.1f} ±{margin:.1f}" + "*" * (key in differing)

    rows = [
        [
            purpose,
            use,
            figure,
            *(cell(system, figure, name, use) for system in SYSTEMS),
            other,
            *(cell(system, figure, name, other) for system in SYSTEMS),
        ]
        for purpose, figure, name, use, other in PURPOSES
    ]
    return markdown_table(["to find", "use", "figure", *SYSTEMS, "the alternative", *SYSTEMS], rows)


PAGES: Mapping[str, Mapping[str, Callable[[Path], str]]] = {
    "README.md": {"quick start": printed_table, "single model": single_table, "payoff": payoff_table},
    "examples/recommendations.md": {"measures": measures_table},
}
"""Page -> name of its marks -> what makes the text between them from the folder of what is kept."""


def fill(root: Path = ROOT, folder: Path = KEPT) -> None:
    """Write every page anew.

    Raises:
        UserError: a page or a file is missing, or is none.
    """
    pages: dict[str, dict[str, str]] = {page: {} for page in PAGES}
    for page, parts in PAGES.items():
        for name, make in parts.items():
            try:
                pages[page][name] = make(folder)
            except (AttributeError, KeyError, TypeError) as error:
                raise UserError(
                    f"{folder} has no {name} of a quick start; keep one again with --run."
                ) from error
    for page, texts in pages.items():
        fill_page(root / page, texts)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--run", type=Path, metavar="FOLDER", help="a finished quick start, whose figures to keep"
    )
    return exit_status(partial(_run, parser.parse_args(arguments).run))


def _run(run: Path | None) -> None:
    if run is not None:
        keep(run)
    fill()


if __name__ == "__main__":
    sys.exit(main())
