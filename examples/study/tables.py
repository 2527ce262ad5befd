"""Tables of a study from the results of ``ednd-nmt evaluate``: means over seeds, and what is kept of the ensemble.

    python -m examples.study.tables study/results.json --output study/tables.md --kept kept.json

The students of one kind are named alike up to their seed: ``reverse-1``, ``reverse-2``. ``--kept`` writes the part of the
results that the tables are made of, from which this makes the same tables again. Students are compared with each other by
``ednd-nmt evaluate ... --baseline reverse-1 --json FILE`` and ``--paired`` in place of the other tables (``--paired NAME``
if the results have several baselines); two kinds of several seeds by ``--kinds reverse_released reverse``, of any results
that have both; and all kinds' means with the ensemble by ``--means``.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from scipy import stats

from ednd_nmt.errors import UserError, exit_status
from ednd_nmt.files import atomic_writer, read_json
from examples.reporting import markdown_table, write_json

ENSEMBLE = "ensemble"
SINGLE = "member-1"
MEASURES = ("TU", "MI", "MKL", "sTU", "sMKL")
DETECTION = ("PRR", "F1-AUC")
SIGNIFICANT = 0.05

Key = tuple[str, str, str | None]  # figure, set, measure
Scores = Mapping[str, Mapping[Key, list[float]]]  # by kind of system, one score per seed


def kept(results: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the results that :func:`tables` looks at."""

    def is_shown(entry: Mapping[str, Any]) -> bool:
        figure, measure = entry["figure"], entry["measure"]
        if figure in ("BLEU", "chrF", "ECE"):
            return bool(entry["set"] == results["in_domain"])
        return figure in (*DETECTION, "ROC-AUC") and measure in MEASURES

    parts = {
        name: [entry for entry in results.get(name, []) if is_shown(entry)]
        for name in ("scores", "comparisons")
    }
    return {"in_domain": results["in_domain"], "shifted": results["shifted"], **parts}


def read_evaluation(path: Path) -> Mapping[str, Any]:
    """The results of ``ednd-nmt evaluate --json``.

    Raises:
        UserError: the file cannot be read, or is something else.
    """
    results = read_json(path)
    needed = {"in_domain", "shifted", "scores", "comparisons"}
    if not isinstance(results, Mapping) or not results.keys() >= needed:
        raise UserError(f"{path} is no evaluation; give the file of ednd-nmt evaluate --json.")
    return results


def read_scores(results: Mapping[str, Any]) -> Scores:
    """The scores by kind of system: students that differ in the seed only are one kind, members are not."""
    scores: dict[str, dict[Key, list[float]]] = {}
    for score in results["scores"]:
        kind = scores.setdefault(kind_of(score["system"]), {})
        kind.setdefault((score["figure"], score["set"], score["measure"]), []).append(
            score["score"] * (1 if score.get("unit", "%") == "%" else 100)
        )
    if ENSEMBLE not in scores:
        raise UserError("The results have no system 'ensemble' to compare the students with.")
    return scores


def read_differing(results: Mapping[str, Any], baseline: str) -> set[tuple[str, Key]]:
    """What of which kind of system differs from a baseline by a paired test, for kinds of one seed."""
    seeds: dict[tuple[str, Key], list[bool]] = {}
    for found in results.get("comparisons", []):
        if found["baseline"] == baseline:
            key = found["figure"], found["set"], found["measure"]
            seeds.setdefault((kind_of(found["system"]), key), []).append(found["p_value"] < SIGNIFICANT)
    return {place for place, differing in seeds.items() if differing == [True]}


def kind_of(system: str) -> str:
    """The kind of a student without its seed; members are systems of their own."""
    seeded = re.fullmatch(r"(?!member-)(.+)-\d+", system)
    return seeded[1] if seeded else system


def table(
    scores: Scores, differing: Mapping[str, Collection[tuple[str, Key]]], columns: Mapping[str, Key]
) -> str:
    """A row per kind of system that has a score: mean and deviation over seeds, and the difference from the ensemble.

    ``differing`` has by its mark what a paired test tells from a baseline.
    """
    rows = []
    for kind, found in scores.items():
        if not any(key in found for key in columns.values()):
            continue
        cells = []
        for key in columns.values():
            seeds, ensemble = found.get(key, []), scores[ENSEMBLE].get(key, [])
            text = f"{statistics.mean(seeds):.1f}" if seeds else "-"
            text += f" ±{statistics.stdev(seeds):.1f}" if len(seeds) > 1 else ""
            if seeds and ensemble and kind != ENSEMBLE:
                text += f" ({statistics.mean(seeds) - ensemble[0]:+.1f})"
            text += "".join(mark for mark, places in differing.items() if (kind, key) in places)
            cells.append(text)
        rows.append([kind, *cells])
    return markdown_table(["", *columns], rows)


def tables(results: Mapping[str, Any]) -> str:
    """Quality, error detection, and the detection of every shifted set, as Markdown."""
    scores, test = read_scores(results), results["in_domain"]
    compared = {found["baseline"] for found in results["comparisons"]}
    marked = {mark: name for mark, name in {"*": ENSEMBLE, "†": SINGLE}.items() if name in compared}
    show = partial(table, scores, {mark: read_differing(results, name) for mark, name in marked.items()})
    meaning = ", ".join(f"{mark} differs from {name}" for mark, name in marked.items())
    meaning = f"; with one seed: {meaning}, p < {SIGNIFICANT}, paired bootstrap" if marked else ""
    quality = {figure: (figure, test, None) for figure in ("BLEU", "chrF")}
    parts = [
        f"Mean ±standard deviation over seeds (difference from the ensemble{meaning}).\n",
        f"Quality in {test}\n\n" + show(quality),
    ]
    for figure in DETECTION:
        columns = {measure: (figure, test, measure) for measure in MEASURES}
        parts.append(f"Finding bad translations in {test}: {figure}, %\n\n" + show(columns))
    calibration = {"ECE": ("ECE", test, "p_bad")}
    if any(key in found for found in scores.values() for key in calibration.values()):
        parts.append(
            f"Can the probability of being bad be trusted in {test}: calibration error, %\n\n"
            + show(calibration)
        )
    for shifted in results["shifted"]:
        columns = {measure: ("ROC-AUC", shifted, measure) for measure in MEASURES}
        parts.append(f"Telling {shifted} from {test}: ROC-AUC, %\n\n" + show(columns))
    signatures = {score["figure"]: score["signature"] for score in reversed(results["scores"])}  # the first
    shown = [figure for figure in ("BLEU", "PRR", "ECE", "ROC-AUC") if figure in signatures]
    parts.append("".join(f"- `{figure}|{signatures[figure]}`\n" for figure in shown))
    return "\n".join(parts)


def paired_table(results: Mapping[str, Any], baseline: str | None = None) -> str:
    """Differences from a baseline of the results, the first if none is named, a column per system: paired bootstrap.

    Raises:
        UserError: the results have nothing that is compared with it.
    """
    test = results["in_domain"]
    baselines = list(dict.fromkeys(found["baseline"] for found in results["comparisons"]))
    baseline = baseline or baselines[0]
    if baseline not in baselines:
        raise UserError(f"The results compare nothing with {baseline}; choose from {', '.join(baselines)}.")
    compared = [found for found in kept(results)["comparisons"] if found["baseline"] == baseline]
    systems = list(dict.fromkeys(found["system"] for found in compared))
    cells: dict[str, dict[str, str]] = {}
    for found in compared:
        if found["figure"] == "F1-AUC":
            continue
        name = _name((found["figure"], found["set"], found["measure"]), test)
        star = "*" * (found["p_value"] < SIGNIFICANT)
        cells.setdefault(name, {})[found["system"]] = f"{found['difference']:+.1f}{star}"
    rows = [[name, *(found.get(system, "-") for system in systems)] for name, found in cells.items()]
    return markdown_table([f"less {baseline}", *systems], rows)


def kinds_table(results: Mapping[str, Any], kind: str, other: str) -> str:
    """What one kind of student has more than another: means over their seeds, and Welch's t test between those.

    Raises:
        UserError: a kind is not in the results, or of one seed only.
    """
    scores = read_scores(kept(results))
    for name in (kind, other):
        if name not in scores:
            raise UserError(f"The results have no students {name}; choose from {', '.join(scores)}.")
        if min(map(len, scores[name].values())) < 2:
            raise UserError(
                f"The results have one seed of {name}; without a second one nobody knows its spread."
            )
    test, rows = results["in_domain"], []
    for key, found in scores[kind].items():
        beside = scores[other].get(key)
        if beside is None or key[0] == "F1-AUC":
            continue
        differs = bool(stats.ttest_ind(found, beside, equal_var=False).pvalue < SIGNIFICANT)
        means = [statistics.mean(seeds) for seeds in (beside, found)]
        shown = [
            f"{mean:.1f} ±{statistics.stdev(seeds):.1f}"
            for mean, seeds in zip(means, (beside, found), strict=True)
        ]
        rows.append([_name(key, test), *shown, f"{means[1] - means[0]:+.1f}" + "*" * differs])
    return markdown_table(["", other, kind, "difference"], rows)


def means_table(results: Mapping[str, Any], baseline: str = ENSEMBLE) -> str:
    """What the kinds of students have more than a baseline, a column per kind: means over their seeds, and the deviation.

    Raises:
        UserError: the results do not have the baseline.
    """
    scores = read_scores(kept(results))
    if baseline not in scores:
        raise UserError(f"The results have no {baseline}; choose from {', '.join(scores)}.")
    kinds = [kind for kind in scores if kind not in (baseline, SINGLE)]
    rows = []
    for key, (value, *_) in scores[baseline].items():
        if key[0] == "F1-AUC":
            continue
        cells = []
        for seeds in (scores[kind].get(key, []) for kind in kinds):
            spread = f" ±{statistics.stdev(seeds):.1f}" if len(seeds) > 1 else ""
            cells.append(f"{statistics.mean(seeds) - value:+.1f}{spread}" if seeds else "-")
        rows.append([_name(key, results["in_domain"]), *cells])
    return markdown_table([f"less {baseline}", *kinds], rows)


def _name(key: Key, test: str) -> str:
    figure, name, measure = key
    return " ".join(filter(None, [figure, name if name != test else "", measure]))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("results", type=Path, help="the file of ednd-nmt evaluate --json")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--kept", type=Path, metavar="FILE")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument(
        "--paired",
        nargs="?",
        const="",
        metavar="NAME",
        help="differences from a baseline of the results, the first",
    )
    shown.add_argument(
        "--kinds", nargs=2, metavar=("KIND", "OTHER"), help="what the first kind has more than the other"
    )
    shown.add_argument(
        "--means",
        nargs="?",
        const=ENSEMBLE,
        metavar="NAME",
        help=f"what the kinds have more than a system, by default {ENSEMBLE}",
    )
    return exit_status(partial(_write, parser.parse_args(arguments)))


def _write(options: argparse.Namespace) -> None:
    results = read_evaluation(options.results)
    if options.paired is not None and not results["comparisons"]:
        raise UserError(f"{options.results} compares nothing; evaluate two systems or more.")
    if options.kinds:
        text = kinds_table(results, *options.kinds)
    elif options.means:
        text = means_table(results, options.means)
    elif options.paired is not None:
        text = paired_table(results, options.paired or None)
    else:
        text = tables(results)
    with atomic_writer(options.output) as stream:
        stream.write(text)
    if options.kept is not None:
        write_json(options.kept, kept(results))


if __name__ == "__main__":
    sys.exit(main())
