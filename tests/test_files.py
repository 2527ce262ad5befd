"""A file appears under its name only when it is whole."""

import os
from pathlib import Path

import pytest

from ednd_nmt.errors import UserError
from ednd_nmt.files import atomic_writer, checksum, refuse_own_input, whole_file


def test_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    with atomic_writer(path) as stream:
        stream.write("äöü\n")
        assert not path.exists()
    assert path.read_bytes() == "äöü\n".encode()
    with pytest.raises(TypeError), atomic_writer(path) as stream:  # noqa: PT012 - the block is what is tested
        stream.write("half")
        stream.write(b"of it")  # type: ignore[arg-type]
    assert path.read_text(encoding="utf-8") == "äöü\n"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    with atomic_writer(path) as first:
        first.write("first")
        with pytest.raises(UserError, match=r"Another run is writing .*out\.txt; wait"), atomic_writer(path):
            pass
        assert path.with_name("out.txt.partial").exists()
    assert path.read_text() == "first"
    path.with_name("out.txt.partial").write_text("what a killed run left, longer than what comes")
    with atomic_writer(path) as second:
        second.write("second")
    assert path.read_text() == "second"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="choose another output path"), atomic_writer(tmp_path / "file" / "x"):
        pass


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match="Is a directory; choose another output path"),
        atomic_writer(tmp_path),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_device_stays_a_device_and_a_full_one_is_named() -> None:
    with atomic_writer("/dev/null") as stream:
        stream.write("text")
    assert Path("/dev/null").is_char_device()
    with (
        pytest.raises(OSError, match="No space left on device: '/dev/full'"),
        atomic_writer("/dev/full") as stream,
    ):
        stream.write("text")


def test_a_device_is_no_place_for_a_whole_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(UserError, match="it is a device or a pipe and no file"), whole_file(pipe):
        pass
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "file")
    with atomic_writer(link) as stream:
        stream.write("text")
    assert link.is_symlink()
    assert (tmp_path / "file").read_text() == "text"


def test_checksum_is_that_of_everybody(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    # the published example of the standard, FIPS 180-4
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert checksum(tmp_path / "file") == expected


def test_a_file_of_others_becomes_whole_or_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    for data in (b"first", b"second"):
        with whole_file(path) as partial:
            partial.write_bytes(data)
        assert path.read_bytes() == data
    with pytest.raises(RuntimeError), whole_file(path) as partial:  # noqa: PT012 - the block is what is tested
        partial.write_bytes(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for name in ("old", "new"):
        (tmp_path / "data.partial").mkdir()  # of a run that was killed
        with whole_file(folder) as partial:
            partial.mkdir()
            (partial / name).touch()
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [folder]


def test_what_is_read_is_not_written_over(tmp_path: Path) -> None:
    file, link, other = tmp_path / "test.jsonl", tmp_path / "link", tmp_path / "results.json"
    file.write_text("")
    other.write_text("")
    link.symlink_to(file)
    for output, inputs in ((file, [other, file]), (link, [file]), (file, [link])):
        with pytest.raises(UserError, match=r"is read by the same command, .*; choose another output"):
            refuse_own_input(output, inputs)
    refuse_own_input(tmp_path / "new.jsonl", [tmp_path, tmp_path / "new.jsonl"])
    refuse_own_input(file, [tmp_path, other])  # in a folder that is read for something else
    refuse_own_input(file, ["no path", "x" * 10_000, "a\0b", other])
