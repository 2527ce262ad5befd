"""The WMT17 corpus from small archives of the real layout, served from this machine with the faults that networks have."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest

from scripts import build_wmt17
from scripts.wmt17 import download
from scripts.wmt17.archives import read_table

ROOT = Path(__file__).resolve().parents[2]
PAIRS = {"europarl": 230, "commoncrawl": 160, "news-commentary": 110}
SENTENCES = {"newstest2013": 3, "newstest2014": 4, "newstest2017": 2}


class Server(ThreadingHTTPServer):
    """Serves ``files`` by path, and does to the requests for a path what ``faults`` has for it, one after the other."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[str]] = {}
        self.requests: list[tuple[str, str | None]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """Answers with the whole file or, asked for a range, with its end."""

    def do_GET(self) -> None:
        server = cast(Server, self.server)
        asked = self.headers.get("Range")
        server.requests.append((self.path, asked))
        faults = server.faults.get(self.path, [])
        fault = faults.pop(0) if faults else ""
        content = server.files.get(self.path)
        if content is None or fault == "500":
            self.send_error(500 if fault else 404)
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and fault != "no ranges" else 0
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        body = content[start:]
        self.wfile.write(body[: len(body) // 2] if fault == "cut" else body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)


def packed(members: dict[str, str | bytes]) -> bytes:
    """A compressed archive of files, with others before them as the real ones have."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, content in {"training/other.cs-en.en": "not this\n", **members}.items():
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


def sgml(texts: list[str], kind: str = "srcset") -> str:
    """A WMT test set: two documents, with text that is no segment around the segments."""
    lines = [
        f'<{kind} setid="s" srclang="any" trglang="de">',
        '<doc sysid="ref" docid="d" genre="news">',
        "<p>",
    ]
    lines += [f'<seg id="{number}">{text}</seg>' for number, text in enumerate(texts, 1)]
    return "\n".join([*lines, "</p>", "</doc>", f"</{kind}>"]) + "\n"


def sentences(language: str, what: str, count: int) -> list[str]:
    return [f"{what} {number} in  {language} &amp; more" for number in range(count)]


def make_archives() -> dict[str, bytes]:
    """Every archive of the table, its files named as in the real one."""
    prefixes = {
        "europarl": "training/europarl-v7.de-en",
        "commoncrawl": "commoncrawl.de-en",
        "news-commentary": "training/news-commentary-v12.de-en",
    }
    archives = {}
    for name, prefix in prefixes.items():
        archives[name] = packed(
            {
                f"{prefix}.{language}": "\n".join(sentences(language, name, PAIRS[name])) + "\n"
                for language in ("de", "en")
            }
        )
    names = {
        "newstest2013": {"en": "test/newstest2013-src.en.sgm", "de": "test/newstest2013-src.de.sgm"},
        "newstest2014": {
            "en": "test-full/newstest2014-deen-src.en.sgm",
            "de": "test-full/newstest2014-deen-ref.de.sgm",
            "fr": "test-full/newstest2014-fren-ref.fr.sgm",
        },
        "newstest2017": {
            "en": "test/newstest2017-ende-src.en.sgm",
            "de": "test/newstest2017-ende-ref.de.sgm",
        },
    }
    for name, files in names.items():
        archives[name] = packed(
            {file: sgml(sentences(language, name, SENTENCES[name])) for language, file in files.items()}
        )
    archives["khresmoi"] = packed(
        {
            f"khresmoi-summary-test-set/khresmoi-summary-{part}.{language}.sgm": sgml(
                sentences(language, f"medical {part}", 2)
            )
            for part in ("dev", "test")
            for language in ("en", "de")
        }
    )
    archives["librispeech"] = packed(
        {
            "LibriSpeech/test-clean/61/70968/61-70968.trans.txt": "61-70968-0000 HE BEGAN\n61-70968-0001 I'M HERE\n",
            "LibriSpeech/test-clean/61/70968/61-70968-0000.flac": b"fLaC\0\xff",
            "LibriSpeech/test-clean/8/1/8-1.trans.txt": "8-1-0000 FIRST OF ALL\n",
        }
    )
    return archives


class Imitation:
    """The public places, all on one small server, and a user who builds the corpus from there."""

    def __init__(self, server: Server, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.server, self.folder, self._capsys = server, folder, capsys
        self.out, self.cache = folder / "out", folder / "cache"
        self.table = folder / "archives.json"
        self.entries: dict[str, dict[str, Any]] = {}
        real = read_table()
        contents = make_archives()
        assert contents.keys() == real.keys()
        for name, content in contents.items():
            self.entries[name] = {"url": real[name].url}
            if real[name].checksum_from:
                algorithm = "md5" if real[name].md5 else "sha256"
                self.entries[name][algorithm] = hashlib.new(algorithm, content).hexdigest()
                self.entries[name]["checksum_from"] = real[name].checksum_from
            if real[name].bytes:
                self.entries[name]["bytes"] = len(content)
            self.serve(name, content)

    def path(self, name: str) -> str:
        """The path of an archive on its server."""
        return re.sub(r"^https://[^/]*", "", self.entries[name]["url"])

    def serve(self, name: str, content: bytes) -> None:
        self.server.files[self.path(name)] = content

    def arguments(self, mirrors: list[str] | None = None) -> list[str]:
        self.table.write_text(json.dumps(self.entries), encoding="utf-8")
        chosen = [self.server.address] if mirrors is None else mirrors
        options = [word for mirror in chosen for word in ("--mirror", mirror)]
        return ["--out", str(self.out), "--cache", str(self.cache), "--archives", str(self.table), *options]

    def build(self, *extra: str, mirrors: list[str] | None = None) -> tuple[int, str]:
        """Run the command; its exit code and what it said."""
        status = build_wmt17.main([*self.arguments(mirrors), *extra])
        return status, self._capsys.readouterr().err

    def fails(self, *extra: str, mirrors: list[str] | None = None) -> str:
        """Run the command, which must fail with one sentence and leave nothing of the corpus; the sentence."""
        status, said = self.build(*extra, mirrors=mirrors)
        assert status == 1
        assert said.count("error: ") == 1
        assert "Traceback" not in said
        assert not self.out.exists() or not any(path.is_file() for path in self.out.rglob("*"))
        return said[said.index("error: ") :]

    def lines(self, name: str) -> list[str]:
        return (self.out / name).read_text(encoding="utf-8").splitlines()


@pytest.fixture
def imitation(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Imitation:
    return Imitation(server, tmp_path, capsys)


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


@pytest.mark.parametrize("faults", [["cut"], ["cut", "cut", "cut", "cut"], ["500", "cut", "500"]])
def test_a_cut_connection_is_resumed_where_it_broke(imitation: Imitation, faults: list[str]) -> None:
    path = imitation.path("commoncrawl")
    imitation.server.faults[path] = list(faults)
    status, said = imitation.build()
    assert status == 0, said
    ranges = [asked for requested, asked in imitation.server.requests if requested == path]
    assert len(ranges) == len(faults) + 1
    assert ranges[-1] is not None
    size = len(imitation.server.files[path])
    kept = size
    for _ in range(faults.count("cut")):
        kept -= kept - kept // 2
    assert ranges[-1] == f"bytes={size - kept}-"


def test_a_place_that_breaks_off_again_and_again_is_told_and_what_came_is_kept(imitation: Imitation) -> None:
    path = imitation.path("commoncrawl")
    imitation.server.faults[path] = ["cut", "500", "500", "500"]
    said = imitation.fails()
    half = len(imitation.server.files[path]) // 2
    assert f"commoncrawl.tgz broke off after {half} bytes (status 500); what came is kept" in said
    imitation.server.requests.clear()
    assert imitation.build()[0] == 0
    asked = dict(imitation.server.requests)
    assert asked[path] == f"bytes={half}-"
    assert imitation.path("europarl") not in asked  # whole since the first run


def test_a_server_that_does_not_resume_sends_all_of_it(imitation: Imitation) -> None:
    path = imitation.path("europarl")
    imitation.server.faults[path] = ["cut", "no ranges"]
    status, said = imitation.build()
    assert status == 0, said


def test_a_file_that_was_whole_when_the_process_was_killed_is_used(imitation: Imitation) -> None:
    imitation.cache.mkdir()
    name = "europarl-training-parallel-europarl-v7.tgz"
    content = imitation.server.files[imitation.path("europarl")]
    (imitation.cache / f"{name}.partial").write_bytes(content)
    assert imitation.build()[0] == 0
    assert (imitation.cache / name).read_bytes() == content


@pytest.mark.parametrize("name", ["europarl", "newstest2014", "librispeech"])
def test_a_wrong_checksum_is_told_and_the_file_removed(imitation: Imitation, name: str) -> None:
    content = bytearray(imitation.server.files[imitation.path(name)])
    content[-9] ^= 1
    imitation.serve(name, bytes(content))
    said = imitation.fails()
    algorithm = "md5" if "md5" in imitation.entries[name] else "sha256"
    assert f"gave a file with the {algorithm} " in said
    assert f"and not {imitation.entries[name][algorithm]}, which was removed" in said
    assert not list(imitation.cache.glob(f"{name}-*"))


def test_a_file_of_another_size_is_not_even_fetched(imitation: Imitation) -> None:
    imitation.serve("commoncrawl", b"<html>Sign in to continue</html>")
    said = imitation.fails()
    assert "commoncrawl.tgz has 32 bytes where the right file has" in said
    assert not list(imitation.cache.glob("commoncrawl-*"))


def test_a_missing_file_is_told_with_what_to_do(imitation: Imitation) -> None:
    del imitation.server.files[imitation.path("khresmoi")]
    said = imitation.fails()
    assert "khresmoi-summary-test-set.tgz cannot be had (status 404, Not Found); name another place" in said
    assert imitation.build("--shifted", "german", "permuted")[0] == 0  # those that do not need it


def test_nobody_at_the_other_end_is_one_sentence_as_a_user_sees_it(imitation: Imitation) -> None:
    command = [
        sys.executable,
        str(ROOT / "scripts/build_wmt17.py"),
        *imitation.arguments(["http://127.0.0.1:9"]),
    ]
    code = "import sys, time, runpy; time.sleep = lambda s: None; sys.argv = sys.argv[1:]; "
    code += "runpy.run_path(sys.argv[0], run_name='__main__')"
    result = subprocess.run(
        [sys.executable, "-c", code, *command[1:]], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "Connection refused" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
    assert not imitation.out.exists()


def test_the_next_mirror_helps_where_one_does_not_have_the_right_file(imitation: Imitation) -> None:
    path = imitation.path("europarl")
    imitation.server.files["/broken" + path] = b"\0" * len(imitation.server.files[path])
    status, said = imitation.build(mirrors=[f"{imitation.server.address}/broken/", imitation.server.address])
    assert status == 0, said
    del imitation.server.files[path]
    (imitation.cache / "europarl-training-parallel-europarl-v7.tgz").unlink()
    (imitation.out / "manifest.json").unlink()
    status, said = imitation.build(mirrors=[f"{imitation.server.address}/broken", imitation.server.address])
    assert status == 1
    assert "which was removed" in said
    assert "status 404" in said


def test_a_file_without_published_checksum_is_held_to_what_was_fetched_first(imitation: Imitation) -> None:
    assert "no published checksum is known" in imitation.build()[1]
    (cached,) = imitation.cache.glob("khresmoi-*")
    whole = cached.read_bytes()
    cached.write_bytes(whole[:-1])
    status, said = imitation.build()
    assert status == 0
    assert "the file in the cache is not the right one" in said
    assert cached.read_bytes() == whole
    cached.unlink()
    imitation.serve("khresmoi", whole + b"\0")
    status, said = imitation.build()
    assert status == 1
    assert "gave a file with the sha256" in said
    assert not cached.exists()


def replace(imitation: Imitation, name: str, content: bytes) -> None:
    """Serve another archive and have the table name its checksum."""
    imitation.serve(name, content)
    for algorithm in ("md5", "sha256"):
        if algorithm in imitation.entries[name]:
            imitation.entries[name][algorithm] = hashlib.new(algorithm, content).hexdigest()
    if "bytes" in imitation.entries[name]:
        imitation.entries[name]["bytes"] = len(content)


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
    replace(imitation, name, content())
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
    replace(
        imitation,
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
