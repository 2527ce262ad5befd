"""The figures of an evaluation as tables, and tables as terminal text, Markdown and LaTeX."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ednd_nmt.evaluation.calibration import COLUMN
from ednd_nmt.evaluation.disagreement import NAME as DISAGREEMENT
from ednd_nmt.evaluation.evaluate import ALL_MEASURES, Evaluation, Key
from ednd_nmt.evaluation.quality import sentence_metric
from ednd_nmt.evaluation.score import FIGURES

WIDTH = 100
SIGNIFICANCE = 0.05
ABSENT = "-"

# In the order in which they are read: total and data uncertainty, knowledge uncertainties, scores of the chosen tokens.
MEASURE_NAMES = {
    "TU": "total uncertainty",
    "DU": "data uncertainty",
    "MI": "mutual information",
    "EPKL": "expected pairwise KL",
    "MKL": "reverse mutual information",
    "sTU": "minus log-probability",
    "sMKL": "sTU's gap between members",
    "sDU": "members' mean minus log-prob.",
    "logvar": "variance of log-probability",
    "PE-sTU": "sTU, product of expectations",
    "PE-sMKL": "sMKL, product of expectations",
    "EP-sTU": "sTU, expectation of products",
    "EP-sMKL": "sMKL, expectation of products",
    "var": "members' probability variance",
    "varcombo": "var over probability",
    "logcombo": "logvar over mean log-prob.",
    DISAGREEMENT: "of the hypotheses, by BLEU",
    COLUMN: "probability of being bad",
}
# What tables show unless asked otherwise: one measure of each kind, the log-probability as the baseline of all, and
# what is there only when it was asked for.
PRINCIPAL_MEASURES = ("TU", "DU", "MI", "EPKL", "MKL", "sTU", "sMKL", DISAGREEMENT, COLUMN)


@dataclass(frozen=True)
class Cell:
    """``67.0 ±3.1*``: a score, half the width of its interval, and whether it differs from the baseline."""

    number: str
    margin: str = ""
    differs: bool = False
    best: bool = False
    percent: bool = True  # a share of 100, which can be drawn as a bar

    @property
    def text(self) -> str:
        return self.number + (f" ±{self.margin}" if self.margin else "") + ("*" if self.differs else "")


@dataclass(frozen=True)
class Table:
    """A titled table: one row per measure or metric, one column per system."""

    title: str
    note: str
    columns: list[str]
    rows: list[tuple[str, str, list[Cell]]]  # short name, what it is, one cell per column


def all_measures(evaluation: Evaluation) -> list[str]:
    """Every measure that has a figure: those of ``MEASURE_NAMES`` in its order, then the others as in the files."""
    order = {name: place for place, name in enumerate(MEASURE_NAMES)}
    return sorted(evaluation.measures, key=lambda name: order.get(name, len(order)))


def shown_measures(evaluation: Evaluation) -> list[str]:
    """The measures of the tables: those of the settings in their order, ``all``, or else the principal ones.

    A set of files without any principal measure shows all that it has.
    """
    everything, wanted = all_measures(evaluation), evaluation.settings.measures
    if wanted is None:
        return [name for name in everything if name in PRINCIPAL_MEASURES] or everything
    if ALL_MEASURES in wanted:
        return everything
    return [name for name in dict.fromkeys(wanted) if name in everything]


def tables(evaluation: Evaluation, measures: Sequence[str] | None = None) -> list[Table]:
    """Quality, error detection (PRR), calibration, detection of each shifted set (ROC-AUC), in this order.

    A table has the systems that have a figure in it.

    Args:
        evaluation: the figures.
        measures: the rows; :func:`shown_measures` if None.
    """
    measures = shown_measures(evaluation) if measures is None else measures
    result = []
    sets = [name for name in [evaluation.in_domain, *evaluation.shifted] if _has_quality(evaluation, name)]
    if sets:
        rows = [
            (f"{set_name} {figure}", f"{evaluation.sizes[set_name]:,} sentences, %", set_name, figure)
            for set_name in sets
            for figure in ("BLEU", "chrF")
        ]
        result.append(
            Table(
                "Quality of the translations ↑",
                "",
                list(evaluation.systems),
                [
                    (name, meaning, _best_of(_row(evaluation, Key("", set_name, None, figure))))
                    for name, meaning, set_name, figure in rows
                ],
            )
        )
    if evaluation.measures:
        quality = sentence_metric(evaluation.settings.quality).name
        result.append(
            _measure_table(
                evaluation,
                measures,
                evaluation.in_domain,
                "PRR",
                f"Finding bad translations in {evaluation.in_domain}: PRR, % ↑",
                f"0 = random order, 100 = order of the true errors by {quality}",
            )
        )
    if evaluation.reliability:
        result.append(_calibration_table(evaluation))
    if evaluation.settings.token_level:
        title = f"Finding wrong tokens in {evaluation.in_domain}: average precision, % ↑"
        note = "the share of wrong tokens is what a random order gives"
        result.append(_measure_table(evaluation, measures, evaluation.in_domain, "token AP", title, note))
    for name in evaluation.shifted:
        result.append(
            _measure_table(
                evaluation,
                measures,
                name,
                "ROC-AUC",
                f"Telling {name} from {evaluation.in_domain}: ROC-AUC, % ↑",
                f"50 = chance, 100 = always; {evaluation.sizes[name]:,} and "
                f"{evaluation.sizes[evaluation.in_domain]:,} sentences",
            )
        )
    return [_without_empty_columns(table) for table in result if table.rows]


def legend(evaluation: Evaluation, name_hidden: bool = True) -> list[str]:
    """How to read the tables, what they do not show if ``name_hidden``, and a signature of each kind of figure."""
    settings = evaluation.settings
    lines = [
        f"±: half of the 95 % interval ({settings.resamples} bootstrap resamples). "
        f"{ABSENT}: the system has no such figure."
    ]
    if len(evaluation.systems) > 1:
        lines.append(f"*: differs from {evaluation.baseline} (paired bootstrap, p < {SIGNIFICANCE}).")
    shown = shown_measures(evaluation)
    hidden = [name for name in all_measures(evaluation) if name not in shown]
    if hidden and name_hidden:
        lines.append(f"Measured but not shown: {', '.join(hidden)} (--measures all).")
    lines += evaluation.notes
    seen: dict[str, str] = {}
    for key, score in evaluation.scores.items():
        of_tables = key.figure in ("BLEU", "chrF", "PRR", "ECE", "token AP", "ROC-AUC")
        if of_tables and key.figure not in seen and (key.measure is None or key.measure in shown):
            seen[key.figure] = score.signature.format()
    return lines + [f"{name}|{signature}" for name, signature in seen.items()]


def render_terminal(evaluation: Evaluation, bold: bool = False, width: int = WIDTH) -> str:
    """Tables of at most ``width`` columns; systems that do not fit beside each other follow below."""
    mark: Callable[[str], str] = (lambda text: f"\x1b[1m{text}\x1b[0m") if bold else (lambda text: text)
    blocks = []
    for table in tables(evaluation):
        heading = [mark(table.title), *([table.note] if table.note else [])]
        blocks.append("\n".join([*heading, *_terminal_rows(table, mark, width)]))
    best = ["Bold: best of its column; of its row for the quality."] if bold else []
    blocks.append("\n".join(line for text in best + legend(evaluation) for line in _wrap(text, width)))
    return "\n\n".join(blocks) + "\n"


def render_markdown(evaluation: Evaluation) -> str:
    """The same tables as Markdown; the best of a column (for quality: of a row) is bold."""
    parts = []
    for table in tables(evaluation):
        lines = [f"### {table.title}", "", *([table.note + ".", ""] if table.note else [])]
        lines.append("| | | " + " | ".join(map(_markdown_escape, table.columns)) + " |")
        lines.append("|---|---|" + "---:|" * len(table.columns))
        for name, meaning, cells in table.rows:
            texts = [_markdown_cell(cell) for cell in cells]
            lines.append("| " + " | ".join([_markdown_escape(name), meaning, *texts]) + " |")
        parts.append("\n".join(lines))
    signatures = "\n".join(f"- `{line}`" if "|" in line else f"- {line}" for line in legend(evaluation))
    return "\n\n".join([*parts, signatures]) + "\n"


def render_latex(evaluation: Evaluation) -> str:
    """The same tables as LaTeX for the booktabs package, one ``tabular`` each."""
    parts = [r"% needs \usepackage{booktabs}"]
    for table in tables(evaluation):
        lines = [f"% {table.title}" + (f" ({table.note})" if table.note else "")]
        lines.append(r"\begin{tabular}{l" + "r" * len(table.columns) + "}")
        lines.append(r"\toprule")
        lines.append(" & " + " & ".join(map(_latex_escape, table.columns)) + r" \\")
        lines.append(r"\midrule")
        for name, _, cells in table.rows:
            lines.append(" & ".join([_latex_escape(name), *map(_latex_cell, cells)]) + r" \\")
        parts.append("\n".join([*lines, r"\bottomrule", r"\end{tabular}"]))
    comments = "\n".join(f"% {line}" for line in legend(evaluation))
    return "\n\n".join([*parts, comments]) + "\n"


def _measure_table(
    evaluation: Evaluation, measures: Sequence[str], set_name: str, figure: str, title: str, note: str
) -> Table:
    rows = [
        (measure, MEASURE_NAMES.get(measure, ""), _row(evaluation, Key("", set_name, measure, figure)))
        for measure in measures
    ]
    rows = [row for row in rows if any(cell.number != ABSENT for cell in row[2])]
    columns = zip(*(cells for _, _, cells in rows), strict=True)
    best = list(zip(*map(_best_of, columns), strict=True)) if rows else []
    rows = [(name, meaning, list(cells)) for (name, meaning, _), cells in zip(rows, best, strict=True)]
    return Table(title, note, list(evaluation.systems), rows)


def _calibration_table(evaluation: Evaluation) -> Table:
    bad = {system: evaluation.settings.calibrations[system].meaning for system in evaluation.reliability}
    alike = len(set(bad.values())) == 1  # else none is better than another: they foretell two things
    rows = []
    for figure, meaning in (("ECE", "expected calibration error, %"), ("Brier", "mean squared error")):
        cells = _row(evaluation, Key("", evaluation.in_domain, COLUMN, figure))
        rows.append((figure, meaning, _best_of(cells, largest=False) if alike else cells))
    of_systems = [next(iter(bad.values()))] if alike else [f"{what} ({name})" for name, what in bad.items()]
    return Table(
        f"Can p_bad be trusted in {evaluation.in_domain}? Calibration ↓",
        f"0 = as often bad as promised; bad: {'; '.join(of_systems)}",
        list(evaluation.systems),
        rows,
    )


def _without_empty_columns(table: Table) -> Table:
    """The table without the systems that have no figure in it at all."""
    kept = [
        index
        for index in range(len(table.columns))
        if any(cells[index].number != ABSENT for _, _, cells in table.rows)
    ]
    rows = [(name, meaning, [cells[index] for index in kept]) for name, meaning, cells in table.rows]
    return Table(table.title, table.note, [table.columns[index] for index in kept], rows)


def _row(evaluation: Evaluation, place: Key) -> list[Cell]:
    cells = []
    for system in evaluation.systems:
        key = Key(system, place.set, place.measure, place.figure)
        score = evaluation.scores.get(key)
        if score is None:
            cells.append(Cell(ABSENT))
            continue
        figure = FIGURES[place.figure]
        margin = "" if score.interval is None else f"{score.interval.half_width:.{figure.precision}f}"
        comparison = evaluation.comparisons[evaluation.baseline].get(key)
        differs = comparison is not None and comparison.p_value < SIGNIFICANCE
        number = score.format(score_only=True)
        cells.append(Cell(number, margin, differs, percent=figure.unit == "%"))
    return cells


def _best_of(cells: Sequence[Cell], largest: bool = True) -> list[Cell]:
    """The cells with those of the best number marked, the largest or the smallest."""
    numbers = [float(cell.number) for cell in cells if cell.number != ABSENT]
    best = (max if largest else min)(numbers) if len(numbers) > 1 else None
    return [replace(c, best=c.number != ABSENT and float(c.number) == best) for c in cells]


def _has_quality(evaluation: Evaluation, set_name: str) -> bool:
    return any(Key(system, set_name, None, "BLEU") in evaluation.scores for system in evaluation.systems)


def _terminal_rows(table: Table, mark: Callable[[str], str], width: int) -> list[str]:
    names = max(len(name) for name, _, _ in table.rows)
    meanings = max(len(meaning) for _, meaning, _ in table.rows)
    label = 2 + names + 2 + meanings
    cells = [[cell.text for cell in row] for _, _, row in table.rows]
    widths = [max(map(len, column)) for column in zip(table.columns, *cells, strict=True)]
    lines, start = [], 0
    while start < len(table.columns):
        stop = start + 1
        while stop < len(widths) and label + sum(w + 2 for w in widths[start : stop + 1]) <= width:
            stop += 1
        shown = range(start, stop)
        lines.append(" " * label + "".join("  " + table.columns[i].rjust(widths[i]) for i in shown))
        for name, meaning, row in table.rows:
            line = f"  {name.ljust(names)}  {meaning.ljust(meanings)}"
            for i in shown:
                padding = " " * (2 + widths[i] - len(row[i].text))
                line += padding + (mark(row[i].text) if row[i].best else row[i].text)
            lines.append(line.rstrip())
        start = stop
    return lines


def _wrap(text: str, width: int) -> list[str]:
    """Lines of at most ``width``; a signature is broken after its bars."""
    lines = textwrap.wrap(text.replace("|", "| "), width, subsequent_indent="    ", break_on_hyphens=False)
    return [line.replace("| ", "|") for line in lines]


def _markdown_cell(cell: Cell) -> str:
    text = cell.text.removesuffix("*")
    return (f"**{text}**" if cell.best else text) + (r"\*" if cell.differs else "")


def _markdown_escape(text: str) -> str:
    return re.sub(r"([\\|*_`<>\[\]])", r"\\\1", text)


def _latex_escape(text: str) -> str:
    replacements = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(replacements.get(c, "\\" + c if c in "&%$#_{}" else c) for c in text)


def _latex_cell(cell: Cell) -> str:
    if cell.number == ABSENT:
        return "--"
    number = rf"\mathbf{{{cell.number}}}" if cell.best else cell.number
    margin = rf" \pm {cell.margin}" if cell.margin else ""
    return f"${number}{margin}{'^{*}' if cell.differs else ''}$"
