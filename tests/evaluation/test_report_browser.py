"""The report in a real browser."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import CHROMIUM, DESKTOP, PHONE, Page
from sklearn.metrics import roc_curve

from ednd_nmt.evaluation.calibration import fit_calibration
from ednd_nmt.evaluation.columns import read_columns
from ednd_nmt.evaluation.histograms import BINS
from ednd_nmt.evaluation.report import command

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium on this machine (Debian: apt-get install chromium)"
    ),
]


@pytest.fixture(scope="module")
def report(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    systems = [f"{name}={runs / name}" for name in ("single", "ensemble", "student")]
    calibration = path.with_name("calibration.json")
    fitted = fit_calibration(read_columns(runs / "student/permuted.jsonl"), ["TU"], threshold=40)
    calibration.write_text(fitted.to_json(), encoding="utf-8")
    options = ["--output", str(path), "--resamples", "20", "--calibration", f"student={calibration}"]
    assert command.run(parser.parse_args([*systems, *options])) == 0
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    opened = Page(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def records(runs: Path) -> list[dict[str, Any]]:
    lines = (runs / "student/test.jsonl").read_text("utf-8").split("\n")[1:-1]
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_reader_sorts_filters_and_reads_values(
    page: Page, report: Path, records: list[dict[str, Any]], size: tuple[int, int]
) -> None:
    page.open(report, size)
    page.set("system", "student")
    by_doubt = sorted(records, key=lambda r: -r["measures"]["TU"])
    assert page.ids() == [r["id"] for r in by_doubt[:25]]

    page.set("sort", "id")
    page.run("document.getElementById('direction').click()")
    assert page.ids() == list(range(25))

    page.set("search", "Wetter")
    expected = [r["id"] for r in records if "wetter" in r["hypotheses"][0]["text"].lower()]
    assert page.ids() == expected[:25]
    page.set("search", "")

    page.set("color", "EPKL")
    record = records[3]
    token = 2
    shown = page.hover(f".card[data-id='3'] .token[data-index='{token}']").split("\n")
    values = dict(line.split("\t") for line in shown[1:])
    assert shown[0] == record["hypotheses"][0]["tokens"][token]
    columns = record["hypotheses"][0]["token_measures"]
    assert {name: float(value) for name, value in values.items()} == {
        name: column[token] for name, column in columns.items()
    }

    tokens = "[...document.querySelectorAll('.card[data-id=\"3\"] .token')]"
    heats = page.run(f"{tokens}.map((t) => Number(t.style.getPropertyValue('--heat')))")
    by_value = [heats[i] for i in np.argsort(columns["EPKL"])]
    assert by_value == sorted(by_value)
    assert len(set(heats)) > 2

    assert page.run("document.documentElement.scrollWidth") <= size[0]
    assert page.complaints == []
    assert page.requests == [report.as_uri()]


def test_the_list_opens_with_the_student(page: Page, report: Path) -> None:
    page.open(report, DESKTOP)
    assert page.run("document.getElementById('system').value") == "student"


def test_a_wide_table_scrolls_in_its_box_on_a_phone(page: Page, report: Path) -> None:
    page.open(report, PHONE)
    assert page.run("document.documentElement.scrollWidth") == PHONE[0]
    box = "document.querySelector('.table')"
    left = f"Math.round({box}.querySelector('tbody th').getBoundingClientRect().left)"
    hint = f"getComputedStyle({box}.querySelector('.swipe')).visibility"
    assert page.run(f"{box}.classList.contains('overflows')")
    assert page.run(hint) == "visible"
    heading, edge = (
        page.run(f"{box}.querySelector('{part}').getBoundingClientRect().right")
        for part in ("caption div", ".scroller")
    )
    assert heading <= edge - 28  # the shade that says that there is more covers no words
    before = page.run(left)
    page.run(f"{box}.querySelector('.scroller').scrollLeft = 10000")
    page.wait(lambda: page.run(f"{box}.classList.contains('at-end')"))
    assert page.run(hint) == "hidden"
    assert page.run(left) == before
    page.open(report, DESKTOP)
    assert not page.run("document.querySelectorAll('.overflows').length")
    assert page.run("document.querySelectorAll('.table:not(.wide)').length % 2") == 0


def test_tables_show_more_measures_when_asked_to(page: Page, report: Path) -> None:
    page.open(report, DESKTOP)
    names = "[...document.querySelectorAll('.table tbody th')].map((t) => t.firstChild.textContent)"
    assert "logvar" not in page.run(names)
    page.run("document.getElementById('all-measures').click()")
    assert {"logvar", "sDU", "TU"} <= set(page.run(names))


@pytest.mark.parametrize(
    ("number", "margin", "low", "width"), [(67, 3, 64, 6), (-2, 5, 0, 3), (-20, 5, 0, 0), (99, 3, 96, 4)]
)
def test_a_bar_shows_what_of_the_interval_lies_on_it(
    page: Page, report: Path, number: int, margin: int, low: int, width: int
) -> None:
    page.open(report, DESKTOP)
    cell = json.dumps({"number": f"{number}.0", "margin": f"{margin}.0", "percent": True})
    style = f"drawCell({cell}).querySelector('.range').style"
    assert page.run(f"[{style}.left, {style}.width]") == [f"{low}%", f"{width}%"]


def test_the_quality_filter_and_the_pages(page: Page, report: Path) -> None:
    page.open(report, DESKTOP)
    assert len(page.ids()) == 25
    page.run("document.getElementById('more').click()")
    assert len(page.ids()) == 50
    page.set("bound", "20")
    qualities = page.run(
        "[...document.querySelectorAll('.card header span:nth-child(3) b')].map((b) => Number(b.textContent))"
    )
    assert qualities
    assert max(qualities) <= 20
    page.set("set", "german")
    assert page.ids() == []  # no references there, so no quality to filter by
    page.set("bound", "")
    assert len(page.ids()) == 25


def test_arrow_keys_step_through_the_tokens(page: Page, report: Path) -> None:
    page.open(report, DESKTOP)
    tokens = page.run("[...document.querySelector('.tokens').children].map((t) => t.textContent)")
    page.run("document.querySelector('.tokens').focus()")
    for name, index in (
        ("ArrowRight", 0),
        ("ArrowRight", 1),
        ("End", len(tokens) - 1),
        ("ArrowLeft", len(tokens) - 2),
    ):
        page.key(name)
        assert page.run("document.querySelector('.token.current').textContent") == tokens[index]
        assert "TU" in page.tip()
    page.key("Escape")
    assert page.tip() == ""


def test_a_tap_shows_the_values_on_a_phone(page: Page, report: Path) -> None:
    page.call("Emulation.setTouchEmulationEnabled", enabled=True)
    page.open(report, PHONE)
    assert page.tap(".token").startswith(page.run("document.querySelector('.tokens').row_.tokens[0]"))
    page.run("tip.hide()")
    assert page.tap("#shift svg").startswith("false alarms")
    page.call("Emulation.setTouchEmulationEnabled", enabled=False)


def test_hostile_text_stays_text(page: Page, report: Path, records: list[dict[str, Any]]) -> None:
    page.open(report, DESKTOP)
    page.set("search", "</script>")
    assert page.ids() == [0]
    assert page.run("document.querySelector('.card p').textContent") == records[0]["source"]
    assert page.run("document.querySelectorAll('#list script, #list b[onerror]').length") == 0
    assert page.complaints == []


def test_a_set_without_references_says_why_no_quality_chooses(page: Page, report: Path) -> None:
    page.open(report, DESKTOP)
    page.set("set", "german")
    page.set("bound", "20")
    assert "no sentence BLEU to choose by" in page.run("document.getElementById('count').textContent")


def rows_of(tip: str) -> dict[str, str]:
    """The rows below the heading of a tooltip."""
    return dict(line.split("\t") for line in tip.split("\n")[1:])


def test_readings_are_the_heights_of_the_lines(page: Page, report: Path, runs: Path) -> None:
    """A random order finds as many as it raises false alarms; the others are scikit-learn's curves."""
    page.open(report, DESKTOP)
    page.set("curve-set", "german")
    page.set("curve-measure", "TU")
    page.run("document.querySelector('#shift svg').focus()")
    for _ in range(16):
        page.key("ArrowRight")
    assert page.tip().startswith("false alarms, %: 30\n")
    readings = {name: float(value) for name, value in rows_of(page.tip()).items()}
    assert readings.pop("chance") == 30
    for system, found in readings.items():
        inside, outside = (
            read_columns(runs / system / f"{name}.jsonl").measures["TU"] for name in ("test", "german")
        )
        labels = np.repeat([0, 1], [inside.size, outside.size])
        curve = roc_curve(labels, np.concatenate([inside, outside]), drop_intermediate=False)
        assert found == pytest.approx(100 * np.interp(0.3, *curve[:2]), rel=0.01)


def test_arrow_keys_step_through_the_bins(page: Page, report: Path, runs: Path) -> None:
    page.open(report, DESKTOP)
    page.set("curve-set", "german")
    page.set("curve-measure", "TU")
    page.run("document.querySelectorAll('#shift svg')[1].focus()")
    page.key("Home")
    tips = [page.tip()]
    for _ in range(BINS - 1):
        page.key("ArrowRight")
        tips.append(page.tip())
    assert len(set(tips)) == BINS
    page.key("ArrowRight")
    assert page.tip() == tips[-1]
    page.key("ArrowLeft")
    assert page.tip() == tips[-2]
    height = "document.getElementById('tip').getBoundingClientRect().top"
    before = page.run(height)
    page.run("window.scrollBy(0, 20)")
    page.wait(lambda: page.run(height) == before - 20)
    assert page.tip() == tips[-2]
    values = read_columns(runs / "single/test.jsonl").measures["TU"]
    for tip in tips[:-1]:
        low, high = map(float, tip.split("\n")[0].split(" to "))
        share = float(rows_of(tip)["test"].removesuffix(" %"))
        slack = 0.01 * high  # the ends are shown with three digits
        assert 100 * np.mean((values >= low + slack) & (values < high - slack)) - 0.1 <= share
        assert share <= 100 * np.mean((values >= low - slack) & (values < high + slack)) + 0.1
    page.key("Escape")
    assert page.tip() == ""


def test_the_tabulator_stops_at_tables_only_where_they_scroll(page: Page, report: Path) -> None:
    stops = "document.querySelectorAll('.scroller[tabindex]').length"
    page.open(report, DESKTOP)
    assert page.run(stops) == 0
    page.open(report, PHONE)
    assert page.run(stops) == page.run("document.querySelectorAll('.overflows').length") > 0


def test_curves_follow_the_measure_and_the_theme_changes(page: Page, report: Path) -> None:
    page.open(report, DESKTOP)
    assert page.run("document.querySelectorAll('#rejection figure').length") == 3
    page.set("curve-measure", "MI")
    assert page.run("document.querySelectorAll('#rejection figure').length") == 2  # a single model has no MI
    assert "PRR" in page.run("document.querySelector('#rejection svg').getAttribute('aria-label')")
    assert page.run("document.querySelectorAll('#shift figure').length") == 3  # ROC and two histograms
    reading = page.hover("#rejection svg")
    assert all(word in reading for word in ("% of the sentences rejected", "MI", "random", "oracle"))
    before = page.run("getComputedStyle(document.body).backgroundColor")
    page.run("document.getElementById('theme').click()")
    assert page.run("getComputedStyle(document.body).backgroundColor") != before


def test_calibrated_probabilities_can_be_sorted_by_and_have_a_diagram(page: Page, report: Path) -> None:
    page.open(report, DESKTOP)
    assert "calibration error" in page.run("document.querySelector('#reliability figcaption').innerText")
    reading = page.hover("#reliability svg")
    bins = {
        (f"{count:,} sentences", f"{100 * predicted:.1f} %", f"{100 * observed:.1f} %")
        for predicted, observed, count in (
            (b["predicted"], b["observed"], b["count"]) for b in page.run("data.reliability.student.bins")
        )
    }
    assert (reading.split("\n")[0], *rows_of(reading).values()) in bins
    page.set("system", "student")
    page.set("sort", "p_bad")
    shown = page.run(
        "[...document.querySelectorAll('.card header span:nth-child(2) b')].map((b) => Number(b.textContent))"
    )
    assert shown == sorted(shown, reverse=True)
    assert all(0 <= value <= 1 for value in shown)
