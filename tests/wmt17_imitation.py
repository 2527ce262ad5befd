"""The public places of WMT17, imitated: small archives of the real layout on a server of this machine, with faults."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest

from scripts import build_wmt17
from scripts.wmt17.archives import read_table

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

    def replace(self, name: str, content: bytes) -> None:
        """Serve another archive and have the table name its checksum."""
        self.serve(name, content)
        for algorithm in ("md5", "sha256"):
            if algorithm in self.entries[name]:
                self.entries[name][algorithm] = hashlib.new(algorithm, content).hexdigest()
        if "bytes" in self.entries[name]:
            self.entries[name]["bytes"] = len(content)

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
