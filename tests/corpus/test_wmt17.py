"""The WMT17 corpus from small archives of the real layout, served from this machine."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from wmt17_imitation import PAIRS, Imitation, make_archives, packed, sentences, sgml

from scripts import build_wmt17
from scripts.wmt17.archives import read_table
from scripts.wmt17.build import HELD_OUT


def test_the_corpus_is_that_of_the_papers_preparation(imitation: Imitation) -> None:
    status, said = imitation.build()
    assert status == 0, said
    whole = [" ".join(line.split()) for name, count in PAIRS.items() for line in sentences("de", name, count)]
    assert imitation.lines("valid.de") == whole[99::100]
    assert imitation.lines("train.de") == [line for number, line in enumerate(whole, 1) if number % 100]
    assert [line.replace("in en", "in de") for line in imitation.lines("train.en")] == imitation.lines(
        "train.de"
    )
    assert imitation.lines("test.en") == [f"newstest2014 {n} in en &amp; more" for n in range(4)]
    assert len(imitation.lines("newstest2013.de")) == 3
    assert len(imitation.lines("newstest2017.de")) == 2
    assert imitation.lines("shifted/german.en") == imitation.lines("test.de")
    assert imitation.lines("shifted/french.en")[0] == "newstest2014 0 in fr &amp; more"
    assert imitation.lines("shifted/permuted.en") == imitation.lines("test.en")
    assert imitation.lines("shifted/khresmoi.de")[1:3] == [
        "medical dev 1 in de &amp; more",
        "medical test 0 in de &amp; more",
    ]
    assert imitation.lines("shifted/librispeech.en") == ["First of all.", "He began.", "I'm here."]
    assert not (imitation.out / "shifted/librispeech.de").exists()
    manifest = json.loads((imitation.out / "manifest.json").read_text(encoding="utf-8"))
    others = {f"{name}.{language}" for name in HELD_OUT if name != "test" for language in ("en", "de")}
    assert manifest["files"].keys() - others == build_wmt17.file_names(["--out", "x"])
    assert manifest["pairs"] == PAIRS
    assert manifest["archives"]["europarl"]["checksum_from"].startswith("TensorFlow Datasets")
    assert manifest["archives"]["khresmoi"]["checksum_from"] == "first fetch"
    for name, entry in manifest["files"].items():
        content = (imitation.out / name).read_bytes()
        assert entry == {"lines": content.count(b"\n"), "sha256": hashlib.sha256(content).hexdigest()}
    assert {str(path.relative_to(imitation.out)) for path in imitation.out.rglob("*.*")} == {
        *manifest["files"],
        "manifest.json",
    }

    requests = len(imitation.server.requests)
    before = {path: path.read_bytes() for path in imitation.out.rglob("*.*")}
    status, said = imitation.build()
    assert status == 0
    assert len(imitation.server.requests) == requests  # all was in the cache
    assert {path: path.read_bytes() for path in imitation.out.rglob("*.*")} == before


def test_segments_are_those_of_sacrebleu(tmp_path: Path) -> None:
    from collections import Counter

    from sacrebleu.dataset import DATASETS

    from scripts.wmt17.texts import segments

    texts = ["Obama &quot;greets&quot;  Netanyahu", " <b>x</b> 5 > 4", "", "Ü ’s"]
    (tmp_path / "set.sgm").write_text(sgml(texts), encoding="utf-8")
    DATASETS["wmt14/full"]._convert_format(str(tmp_path / "set.sgm"), str(tmp_path / "set.txt"))
    theirs = (tmp_path / "set.txt").read_text(encoding="utf-8").splitlines()
    with open(tmp_path / "set.sgm", "rb") as stream:
        assert list(segments(stream, Counter())) == theirs


def test_the_table_names_places_checksums_and_who_published_them() -> None:
    for archive in read_table().values():
        assert archive.url.startswith("https://")
        assert (archive.sha256 or archive.md5 or "") == "" or archive.checksum_from
        if archive.sha256:
            assert re.fullmatch(r"[0-9a-f]{64}", archive.sha256)
            assert archive.bytes
        if archive.md5:
            assert re.fullmatch(r"[0-9a-f]{32}", archive.md5)


def linked(name: str) -> bytes:
    """An archive in which ``name`` is a link out of the folder, among names that lead out of it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        link = tarfile.TarInfo(name)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        for path in ("../../escaped", "/tmp/escaped-absolute"):
            entry = tarfile.TarInfo(path)
            entry.size = 2
            tar.addfile(entry, io.BytesIO(b"x\n"))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("commoncrawl", lambda: linked("commoncrawl.de-en.en"), "has no file commoncrawl.de-en.en"),
        ("commoncrawl", lambda: b"no archive at all", "is damaged"),
        ("commoncrawl", lambda: make_archives()["commoncrawl"][:-200], "is damaged"),
        (
            "commoncrawl",
            lambda: packed({"commoncrawl.de-en.de": "a\nb\n", "commoncrawl.de-en.en": "a\n"}),
            "one side ends after 1 lines",
        ),
        ("librispeech", lambda: packed({"x.trans.txt": "no utterance\n"}), "is no list of LibriSpeech"),
        ("librispeech", lambda: packed({}), "has no LibriSpeech transcripts"),
    ],
)
def test_archives_that_are_not_what_they_should_be(
    imitation: Imitation, name: str, content: Callable[[], bytes], message: str
) -> None:
    imitation.replace(name, content())
    status, said = imitation.build()
    assert status == 1
    assert message in said.splitlines()[-1]
    assert not (imitation.out / "manifest.json").exists()
    assert not list(imitation.out.rglob("*.partial"))
    if name == "commoncrawl":
        assert not list(imitation.out.rglob("*.de"))
    assert not Path("/tmp/escaped-absolute").exists()
    assert not list(imitation.folder.parent.rglob("escaped*"))


def test_lines_that_are_not_utf8_are_kept_in_place_and_counted(imitation: Imitation) -> None:
    imitation.replace(
        "commoncrawl",
        packed(
            {
                "commoncrawl.de-en.de": b"caf\xe9\n\xc2\x85\xe2\x80\xa8x\x07y\n",
                "commoncrawl.de-en.en": b"a\nb\n",
            }
        ),
    )
    assert imitation.build()[0] == 0
    german = imitation.lines("train.de")
    place = german.index("caf\N{REPLACEMENT CHARACTER}")
    assert german[place + 1] == "x y"
    assert imitation.lines("train.en")[place : place + 2] == ["a", "b"]
    manifest = json.loads((imitation.out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["faults"] == {"lines that are not UTF-8": 1}


@pytest.mark.parametrize(
    ("table", "extra", "message"),
    [
        ("{}", [], "is no table of archives"),
        ('{"europarl": {"url": "ftp://x/y"}}', [], "needs an http(s) `url`"),
        ('{"europarl": {"url": "https://x/y"}}', [], "lacks commoncrawl"),
        (None, ["--shifted", "germann"], "There is no shifted set 'germann' (did you mean 'german'?)"),
    ],
)
def test_what_the_user_can_mend(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], table: str | None, extra: list[str], message: str
) -> None:
    arguments = ["--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache"), *extra]
    if table is not None:
        (tmp_path / "table.json").write_text(table)
        arguments += ["--archives", str(tmp_path / "table.json")]
    assert build_wmt17.main(arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "cache").exists()
