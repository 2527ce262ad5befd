"""Uncertainty files appear whole and in order, or not at all."""

from pathlib import Path

import pytest

from ednd_nmt.errors import UserError
from ednd_nmt.formats import FORMATS
from ednd_nmt.record_writer import RecordWriter
from ednd_nmt.records import Header, Hypothesis, Sentence, read_records

FORMAT = FORMATS["jsonl"](Header(system="single", members=1, nbest=1, beam=1))


def sentence(number: int) -> Sentence:
    hypothesis = Hypothesis("ein Haus – ja", ("▁ein", "</s>"), -0.5, -1.0, {"sTU": 0.5}, {"TU": (0.1, 0.2)})
    return Sentence(number, f"source {number}\u2028with a line separator", (hypothesis,), {"sTU": 0.5})


def test_order_is_restored(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "out.jsonl"
    writer = RecordWriter(path, FORMAT, range(4))
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
    writer = RecordWriter(tmp_path / "out", FORMATS[name](FORMAT.header), range(3))
    for number in (1, 2, 0):
        writer.add([sentences[number]])
    text = FORMATS[name](FORMAT.header).head(sentences[0]) + "".join(
        map(FORMATS[name](FORMAT.header).sentence, sentences)
    )
    assert (tmp_path / "out").read_bytes() == text.encode()


def test_an_unfinished_run_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("old\n")
    RecordWriter(path, FORMAT, range(2)).add([sentence(0)])
    assert path.read_text() == "old\n"


@pytest.mark.parametrize("unexpected", [1, 7])
def test_a_sentence_too_many_is_refused(tmp_path: Path, unexpected: int) -> None:
    writer = RecordWriter(tmp_path / "out.jsonl", FORMAT, range(3))
    writer.add([sentence(1)])
    with pytest.raises(UserError, match=f"Sentence {unexpected} came twice or was not expected"):
        writer.add([sentence(unexpected)])


def test_unwritable_output_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="choose another output path"):
        RecordWriter(tmp_path / "file" / "out.jsonl", FORMAT, range(1))
