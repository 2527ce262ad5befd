"""The pages show the quick start's figures, made by a command from what is kept of a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ednd_nmt.errors import UserError
from examples.debian_ende.page import KEPT, PAGES, ROOT, SYSTEMS, fill, keep, main


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    for page in PAGES:
        (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / page, tmp_path / page)
    shutil.copytree(KEPT, tmp_path / "results")
    return tmp_path


def test_the_pages_show_what_is_kept(pages: Path) -> None:
    fill(pages, pages / "results")
    for page in PAGES:
        assert (pages / page).read_bytes() == (ROOT / page).read_bytes()
    table = pages / "results" / "table.txt"
    table.write_text(table.read_text(encoding="utf-8").replace("Quality", "Goodness"), encoding="utf-8")
    fill(pages, pages / "results")
    assert "```\nGoodness of the translations" in (pages / "README.md").read_text(encoding="utf-8")


def test_a_penalty_of_nothing_is_no_gain(pages: Path) -> None:
    for penalty, reranked in ((0.0, True), (0.5, False)):
        path = pages / "results" / "payoff-ensemble.json"
        payoff = json.loads(path.read_text(encoding="utf-8"))
        payoff["decision"]["rerank"]["penalty"] = penalty
        path.write_text(json.dumps(payoff), encoding="utf-8")
        fill(pages, pages / "results")
        (row,) = [line for line in _lines(pages / "README.md") if line.startswith("| ensemble, test |")]
        assert (row.split("|")[3].strip() == "") == reranked


def test_a_set_of_which_nothing_is_kept_has_no_gain(pages: Path) -> None:
    path = pages / "results" / "payoff-ensemble.json"
    payoff = json.loads(path.read_text(encoding="utf-8"))
    found = next(found for name, found in payoff["sets"].items() if Path(name).stem == "ding")
    found |= {"abstained": 1.0, "kept": None}
    path.write_text(json.dumps(payoff), encoding="utf-8")
    fill(pages, pages / "results")
    (row,) = [line for line in _lines(pages / "README.md") if line.startswith("| ensemble, ding |")]
    assert [cell.strip() for cell in row.split("|")[4:6]] == ["0 %", ""]


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("name", ["results.json", "payoff-student.json"])
def test_what_is_something_else_is_refused(name: str, pages: Path) -> None:
    before = {page: (pages / page).read_bytes() for page in PAGES}
    (pages / "results" / name).write_text('{"other": [1]}', encoding="utf-8")
    with pytest.raises(
        UserError, match=r"has no (measures|single model|payoff) of a quick start; keep one again with --run"
    ):
        fill(pages, pages / "results")
    assert (pages / "README.md").read_bytes() == before["README.md"]


def test_a_run_is_kept_whole_or_not_at_all(
    pages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, again = tmp_path / "run", tmp_path / "again"
    assert main(["--run", str(run)]) == 2
    assert (
        f"There is no {run / 'table.txt'}; give the folder of a finished quick start."
        in capsys.readouterr().err
    )
    run.mkdir()
    shutil.copyfile(KEPT / "table.txt", run / "table.txt")
    (run / "results.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(UserError, match=r"results\.json is no evaluation"):
        keep(run, again)
    shutil.copyfile(KEPT / "results.json", run / "results.json")
    with pytest.raises(UserError, match=r"Cannot read .*payoff\.json"):
        keep(run, again)
    assert not again.exists()
    for system in SYSTEMS:
        (run / "acting" / system).mkdir(parents=True)
        shutil.copyfile(KEPT / f"payoff-{system}.json", run / "acting" / system / "payoff.json")
    keep(run, again)
    assert {path.name: path.read_bytes() for path in again.iterdir()} == {
        path.name: path.read_bytes() for path in KEPT.iterdir()
    }
