"""Uncertainty files appear whole and in order, or not at all."""

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
from own_process import PATIENCE

from ednd_nmt.errors import UserError
from ednd_nmt.formats import FORMATS
from ednd_nmt.record_reader import read_records
from ednd_nmt.record_writer import RecordWriter, remaining_batches
from ednd_nmt.records import Header, Hypothesis, Sentence

FORMAT = FORMATS["jsonl"](Header(system="single", members=1, nbest=1, beam=1))


def sentence(number: int) -> Sentence:
    hypothesis = Hypothesis("ein Haus – ja", ("▁ein", "</s>"), -0.5, -1.0, {"sTU": 0.5}, {"TU": (0.1, 0.2)})
    return Sentence(number, f"source {number}\u2028with a line separator", (hypothesis,), {"sTU": 0.5})


def started(path: Path, expected: Iterable[int], **maker: str) -> RecordWriter:
    writer = RecordWriter(path)
    writer.start(FORMAT, expected, maker)
    return writer


def test_order_is_restored(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "out.jsonl"
    writer = started(path, range(4))
    writer.add([sentence(2), sentence(0)])
    assert not path.exists()
    assert not writer.complete
    writer.add([sentence(3), sentence(1)])
    assert writer.complete
    assert [s.id for s in read_records(path)[1]] == [0, 1, 2, 3]
    assert sorted(p.name for p in path.parent.iterdir()) == ["out.jsonl"]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_written_as_if_in_order(tmp_path: Path, name: str) -> None:
    sentences = [sentence(number) for number in range(3)]
    writer = RecordWriter(tmp_path / "out")
    writer.start(FORMATS[name](FORMAT.header), range(3))
    for number in (1, 2, 0):
        writer.add([sentences[number]])
    text = FORMATS[name](FORMAT.header).head(sentences[0]) + "".join(
        map(FORMATS[name](FORMAT.header).sentence, sentences)
    )
    assert (tmp_path / "out").read_bytes() == text.encode()


def test_an_unfinished_run_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("old\n")
    started(path, range(2)).add([sentence(0)])
    assert path.read_text() == "old\n"


@pytest.mark.parametrize("unexpected", [1, 7])
def test_a_sentence_too_many_is_refused(tmp_path: Path, unexpected: int) -> None:
    writer = started(tmp_path / "out.jsonl", range(3))
    writer.add([sentence(1)])
    with pytest.raises(UserError, match=f"Sentence {unexpected} came twice or was not expected"):
        writer.add([sentence(unexpected)])


def test_unwritable_output_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="choose another output path"):
        RecordWriter(tmp_path / "file" / "out.jsonl")


def interrupt(writer: RecordWriter) -> None:
    """What ``kill -9`` does to a run: its lock is gone, and what it wrote stays."""
    assert writer._stream is not None
    writer._stream.close()


BATCHES = [[3, 1], [0, 4], [2, 5]]


def test_an_interrupted_run_is_gone_on_with_from_every_byte(tmp_path: Path) -> None:
    """Cut anywhere: no sentence is lost and none comes twice."""
    path, unordered = tmp_path / "out.jsonl", tmp_path / "out.jsonl.unordered"
    writer = started(path, range(6), command="a")
    for batch in BATCHES:
        whole = unordered.read_bytes()
        writer.add(map(sentence, batch))
    expected = path.read_bytes()
    taken_over = set()
    for length in (*range(0, len(whole), 7), len(whole)):
        path.unlink()
        unordered.write_bytes(whole[:length])
        writer = RecordWriter(path)
        left = remaining_batches(BATCHES, writer.done)
        taken_over.add(len(left))
        writer.start(FORMAT, [number for numbers in left for number in numbers], {"command": "a"})
        for numbers in left:
            writer.add(map(sentence, numbers))
        assert path.read_bytes() == expected
        assert sorted(p.name for p in tmp_path.iterdir()) == ["out.jsonl"]
    assert taken_over == {1, 2, 3}


def test_what_another_command_left_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    writer = started(path, range(2), command="a", models="1")
    writer.add([sentence(0)])
    interrupt(writer)
    before = (tmp_path / "out.jsonl.unordered").read_bytes()
    with pytest.raises(UserError, match=r"left by a run with another command, models; .*remove the file"):
        started(path, range(2), command="b", models="2")
    assert (tmp_path / "out.jsonl.unordered").read_bytes() == before


def test_two_runs_do_not_write_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    writer = started(path, range(2))
    with pytest.raises(UserError, match="Another run is writing"):
        RecordWriter(path)
    writer.add([sentence(0), sentence(1)])
    assert [s.id for s in read_records(path)[1]] == [0, 1]


def test_a_file_of_something_else_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "out.jsonl.unordered").write_text('{"id": 0, "bytes": 0, "crc32": 0}\n' * 9)
    writer = started(tmp_path / "out.jsonl", range(1))
    assert writer.done == frozenset()
    writer.add([sentence(0)])
    assert [s.id for s in read_records(tmp_path / "out.jsonl")[1]] == [0]


def test_a_pipe_gets_all_at_the_end_and_no_file_beside_it(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE)
    writer = started(pipe, range(2))
    writer.add([sentence(1)])
    writer.add([sentence(0)])
    assert reader.communicate(timeout=PATIENCE)[0].count(b"\n") == 3
    assert list(tmp_path.iterdir()) == [pipe]


def test_something_is_left_to_do_even_if_all_is_done() -> None:
    assert remaining_batches(BATCHES, frozenset()) == BATCHES
    assert remaining_batches(BATCHES, frozenset({1, 2, 3, 5})) == [[0, 4]]
    assert remaining_batches(BATCHES, frozenset({1, 2, 3})) == [[0, 4], [2, 5]]
    assert remaining_batches(BATCHES, frozenset(range(6))) == [[2, 5]]
