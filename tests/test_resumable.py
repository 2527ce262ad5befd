"""An interrupted output goes on to the same bytes, from its own input and maker alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ednd_nmt.errors import UserError
from ednd_nmt.journal import Journal
from ednd_nmt.resumable import resumable_writer

LINES = [f"line {number} ä" for number in range(11)]
EVERY = 3
MAKER = {"--beam": "5", "version": "1"}


class KilledError(Exception):
    """Stands for a process that ends."""


def text_of(line: str) -> str:
    return f"{line}\nof two lines\n"


def write(
    path: Path,
    lines: list[str],
    maker: dict[str, str] = MAKER,
    stop: int | None = None,
) -> tuple[list[str], list[str]]:
    """Write until ``stop`` sentences have been written; the inputs that were worked on, and what was said."""
    worked: list[str] = []
    said: list[str] = []

    def work(rest: Iterator[str]) -> Iterator[str]:
        for line in rest:
            worked.append(line)
            yield text_of(line)

    with resumable_writer(path, maker, said.append) as file:
        for number, text in enumerate(work(file.remaining(lines, EVERY)), start=file.done + 1):
            file.write(text)
            if number % EVERY == 0:
                file.commit(number)
            if number == stop:
                raise KilledError
    return worked, said


WHOLE = "".join(map(text_of, LINES))


@pytest.mark.parametrize("garbage", ["", "half a li"])
@pytest.mark.parametrize("stop", range(1, len(LINES) + 1))
def test_the_second_run_does_what_the_first_left(tmp_path: Path, stop: int, garbage: str) -> None:
    path = tmp_path / "out.txt"
    with pytest.raises(KilledError):
        write(path, LINES, stop=stop)
    assert not path.exists()
    partial = tmp_path / "out.txt.partial"
    assert partial.exists() == (stop >= EVERY)
    with open(partial, "a", encoding="utf-8") as stream:
        stream.write(garbage)
    worked, _ = write(path, LINES)
    assert worked == LINES[stop - stop % EVERY :]
    assert path.read_text(encoding="utf-8") == WHOLE
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("lines", "maker", "news"),
    [
        (["other", *LINES[1:]], MAKER, "of another input"),
        (LINES[:2], MAKER, "of another input"),
        (LINES, {**MAKER, "--beam": "4"}, "another --beam;"),
        (LINES, {"--beam": "5"}, "another version;"),
    ],
)
def test_what_belongs_to_something_else_is_done_again(
    tmp_path: Path, lines: list[str], maker: dict[str, str], news: str
) -> None:
    path = tmp_path / "out.txt"
    with pytest.raises(KilledError):
        write(path, LINES, stop=7)
    worked, said = write(path, lines, maker)
    assert worked == lines
    assert [news in line for line in said] == [True]
    assert path.read_text(encoding="utf-8") == "".join(map(text_of, lines))


def test_input_that_has_grown_since_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    with pytest.raises(KilledError):
        write(path, LINES[:7], stop=7)
    worked, _ = write(path, LINES)
    assert worked == LINES[6:]
    assert path.read_text(encoding="utf-8") == WHOLE


@pytest.mark.parametrize("journal", ["", "[]", "{}", '{"format": "other"}', "\0"])
def test_a_journal_that_says_nothing_is_no_journal(tmp_path: Path, journal: str) -> None:
    path = tmp_path / "out.txt"
    (tmp_path / "out.txt.partial").write_text("something old\n")
    (tmp_path / "out.txt.partial.json").write_text(journal)
    assert write(path, LINES)[0] == LINES
    assert path.read_text(encoding="utf-8") == WHOLE
    assert list(tmp_path.iterdir()) == [path]


def test_a_text_shorter_than_its_journal_says_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    with pytest.raises(KilledError):
        write(path, LINES, stop=7)
    size = json.loads((tmp_path / "out.txt.partial.json").read_text())["bytes"]
    with open(tmp_path / "out.txt.partial", "r+b") as stream:
        stream.truncate(size - 1)
    assert write(path, LINES)[0] == LINES


def test_an_earlier_result_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old\n")
    with pytest.raises(KilledError):
        write(path, LINES, stop=7)
    assert path.read_text() == "old\n"


def test_two_runs_at_once_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    with (
        resumable_writer(path, MAKER, print) as file,
        pytest.raises(UserError, match="Another run is writing"),
        resumable_writer(path, MAKER, print),
    ):
        file.write("never reached")


def killed(path: Path, lines: list[str], maker: dict[str, str], commits: int) -> None:
    """A run in a process of its own that ends, as by ``kill -9``, between the text of its last commit and the journal."""
    process = os.fork()
    if process == 0:
        written = [0]
        write_journal = Journal.write

        def write_or_end(journal: Journal, **record: Any) -> None:
            written[0] += 1
            if written[0] == commits:
                os._exit(9)
            write_journal(journal, **record)

        Journal.write = write_or_end  # type: ignore[method-assign, assignment]
        try:
            write(path, lines, maker)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 9


@pytest.mark.parametrize(
    ("lines", "maker"),
    [(LINES, {**MAKER, "--beam": "1"}), ([line.upper() for line in LINES], MAKER)],
    ids=["another maker", "another input"],
)
def test_a_journal_does_not_vouch_for_the_text_of_another_run(
    tmp_path: Path, lines: list[str], maker: dict[str, str]
) -> None:
    path = tmp_path / "out.txt"
    killed(path, LINES, MAKER, commits=2)
    killed(path, lines, maker, commits=1)
    worked, _ = write(path, LINES)
    assert worked == LINES
    assert path.read_text(encoding="utf-8") == WHOLE
