"""A model folder is complete and says how its text was prepared, or one sentence says what is missing."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from full_disk import full_disk

from ednd_nmt.errors import UserError
from ednd_nmt.formats import FORMATS, PlainText
from ednd_nmt.model_folder import Preparation, pack, read_model_folders
from ednd_nmt.records import Header, Hypothesis, Sentence
from ednd_nmt.text_input import paired_lines, text_lines


def make(folder: Path) -> Path:
    folder.mkdir()
    for name in ("m.pt", "dict.en.txt", "dict.de.txt"):
        (folder / name).write_text(f"{name} 1\n")
    dictionaries = [folder / "dict.en.txt", folder / "dict.de.txt"]
    pack(folder / "m.pt", dictionaries, None, Preparation("en", "de", pieces=False), folder)
    return folder


def test_a_packed_folder_is_read_back_and_members_are_told_apart(tmp_path: Path) -> None:
    one, two = make(tmp_path / "one"), make(tmp_path / "two")
    assert read_model_folders(one / "m.pt")[0].preparation == Preparation("en", "de", pieces=False)
    assert len(read_model_folders(f"{one}:{two}")) == 2
    (two / "dict.de.txt").write_text("other 1\n")
    with pytest.raises(UserError, match="must share them"):
        read_model_folders(f"{one}:{two}")


def manifest(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "model.json").read_text()))


def test_the_model_that_the_manifest_names_is_read(tmp_path: Path) -> None:
    folder = make(tmp_path / "one")
    record = manifest(folder)
    assert record["weights"] == "model.pt"
    for name in ("model.safetensors", "settings.json"):
        (folder / name).write_text("{}")
    assert read_model_folders(folder)[0].checkpoint.name == "model.pt"
    (folder / "model.json").write_text(json.dumps(record | {"weights": "model.safetensors"}))
    assert read_model_folders(folder)[0].checkpoint.name == "model.safetensors"
    assert read_model_folders(folder / "model.pt")[0].checkpoint.name == "model.pt"  # named by the user
    others: tuple[Any, ...] = ("../model.pt", 5, [])
    for other in others:
        (folder / "model.json").write_text(json.dumps(record | {"weights": other}))
        with pytest.raises(UserError, match=r"must be model\.pt or model\.safetensors, not"):
            read_model_folders(folder)


def test_a_folder_of_an_older_version_is_still_read(tmp_path: Path) -> None:
    folder = make(tmp_path / "one")
    record = manifest(folder)
    del record["weights"], record["plain_punctuation"]
    (folder / "model.json").write_text(json.dumps(record))
    assert read_model_folders(folder)[0].checkpoint.name == "model.pt"
    (folder / "settings.json").write_text("{}")
    (folder / "model.pt").rename(folder / "model.safetensors")
    assert read_model_folders(folder)[0].checkpoint.name == "model.safetensors"


def test_the_manifest_of_another_model_vouches_for_none_that_is_half_packed(tmp_path: Path) -> None:
    folder = make(tmp_path / "one")
    dictionaries = [folder / "dict.en.txt", folder / "dict.de.txt"]
    with full_disk(size=3), pytest.raises(OSError, match="File too large"):
        pack(folder / "m.pt", dictionaries, None, Preparation("en", "de", pieces=False), folder)
    with pytest.raises(UserError, match=r"has no model\.json"):
        read_model_folders(folder)


def test_folders_are_told_apart_by_every_file(tmp_path: Path) -> None:
    digests = set()
    for name in ("m.pt", "dict.en.txt", "dict.de.txt", "model.json", ""):
        (folder,) = read_model_folders(make(tmp_path / (name or "same")) / "m.pt")
        if name:
            with open(folder.path / name, "a") as stream:
                stream.write("\n")
        digests.add(folder.digest())
    assert len(digests) == 5


@pytest.mark.parametrize(
    ("lost", "message"), [("model.json", "ednd-nmt pack"), ("dict.de.txt", "lacks dict.de.txt")]
)
def test_a_missing_file_is_named(tmp_path: Path, lost: str, message: str) -> None:
    folder = make(tmp_path / "one")
    (folder / lost).unlink()
    with pytest.raises(UserError, match=message):
        read_model_folders(folder)


def test_an_unknown_measure_suggests_the_nearest() -> None:
    hypothesis = Hypothesis("ja", ("ja", "</s>"), -0.5, -1.0, {"EPKL": 0.5}, {"TU": (0.1, 0.2)})
    sentence = Sentence(0, "yes", (hypothesis,), {"EPKL": 0.5, "sTU": 1.0})
    header = Header("student", 1, 1)
    assert PlainText(header, "EPKL").sentence(sentence) == "0.5000\tja\n"
    with pytest.raises(UserError, match=r"no measure 'EPLK' \(did you mean 'EPKL'\?\); it has EPKL, sTU\.$"):
        PlainText(header, "EPLK").sentence(sentence)
    with pytest.raises(UserError, match=r"no measure 'xyz'; it has EPKL, sTU\.$"):  # nothing is like it
        PlainText(header, "xyz").sentence(sentence)
    assert all(kind(header).sentence(sentence).endswith("\n") for kind in FORMATS.values())


def test_input_that_is_no_text_or_does_not_pair() -> None:
    with pytest.raises(UserError, match="Line 2 of bad is not UTF-8 text; convert it"):
        list(text_lines(io.BytesIO(b"good\n\xff\xfe\n"), "bad"))
    with pytest.raises(UserError, match="Line 1 of bad holds a zero byte"):
        list(text_lines(io.BytesIO(b"C\0l\0"), "bad"))
    with pytest.raises(UserError, match="a has 3 lines and b 1"):
        list(paired_lines("xyz", "x", ("a", "b")))


def test_line_ends_and_the_byte_order_mark_are_no_text() -> None:
    text = b"\xef\xbb\xbfone\r\n\r\n\xef\xbb\xbftwo\rhalf\xe2\x80\xa8three"
    assert list(text_lines(io.BytesIO(text), "text")) == ["one", "", "\ufefftwo\rhalf\u2028three"]
