"""The machine's package sources in both styles."""

from pathlib import Path

import pytest

from scripts.corpus.aptsources import AptSource, main_source, parse_deb822, parse_one_line, read_sources

ONE_LINE = """
# deb http://old.example/debian stable main
deb [arch=amd64 signed-by=/usr/share/keyrings/k.gpg] http://mirror.example/debian bookworm main contrib # mine
deb-src http://mirror.example/debian bookworm main
deb http://mirror.example/flat ./
deb	http://mirror.example/debian bookworm-updates main
"""
DEB822 = """\
Types: deb deb-src
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/k.gpg

Types: deb
URIs: http://other.example/
Suites: bookworm
Components: main
Enabled: no

Types: deb
URIs: http://inline.example/
Suites: sid
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
"""


def test_one_line_style() -> None:
    assert parse_one_line(ONE_LINE) == [
        AptSource(
            "http://mirror.example/debian",
            "bookworm",
            ("main", "contrib"),
            ("signed-by=/usr/share/keyrings/k.gpg",),
        ),
        AptSource("http://mirror.example/debian", "bookworm-updates", ("main",)),
    ]


def test_deb822_style() -> None:
    key = ("signed-by=/usr/share/keyrings/k.gpg",)
    assert parse_deb822(DEB822) == [
        AptSource("http://mirror.example/debian", "bookworm", ("main",), key),
        AptSource("http://mirror.example/debian", "bookworm-updates", ("main",), key),
        AptSource("http://inline.example/", "sid", ("main",)),
    ]


def test_a_source_written_as_a_line_parses_to_itself() -> None:
    source = AptSource("http://mirror.example/debian", "bookworm", ("main",), ("signed-by=/k.gpg",))
    assert parse_one_line(source.line()) == [source]
    line = source.line(options=["target=Packages"], suite="trixie")
    assert line == "deb [target=Packages signed-by=/k.gpg] http://mirror.example/debian trixie main"


def test_files_are_read_in_the_order_of_apt(tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    parts.mkdir()
    (tmp_path / "sources.list").write_text("deb http://first/ x main\n")
    (parts / "b.list").write_text("deb http://third/ x main\n")
    (parts / "a.sources").write_text("Types: deb\nURIs: http://second/\nSuites: x\nComponents: main\n")
    (parts / "c.list.disabled").write_text("deb http://never/ x main\n")
    sources = read_sources(tmp_path / "sources.list", parts)
    assert [source.uri for source in sources] == ["http://first/", "http://second/", "http://third/"]


@pytest.mark.parametrize(
    ("suites", "codename", "expected"),
    [
        (["bookworm-updates", "bookworm"], "bookworm", "bookworm"),
        (["bookworm-security", "stable"], "bookworm", "stable"),
        (["trixie", "bookworm"], "bookworm", "bookworm"),
        (["stable/updates", "jammy-backports", "noble"], "bookworm", "noble"),
    ],
)
def test_the_release_itself_is_chosen(suites: list[str], codename: str, expected: str) -> None:
    chosen = main_source([AptSource("http://m/", suite, ("main",)) for suite in suites], codename)
    assert chosen is not None
    assert chosen.suite == expected


def test_components_of_the_same_mirror_are_joined_and_main_is_needed() -> None:
    sources = [
        AptSource("http://m/", "noble", ("main", "restricted")),
        AptSource("http://m/", "noble", ("main", "universe")),
        AptSource("http://m/", "noble", ("extra",)),
    ]
    chosen = main_source(sources, "noble")
    assert chosen is not None
    assert chosen.components == ("main", "restricted", "universe")
    assert main_source(sources[2:], "noble") is None
