"""Each source on a page or two of its own format."""

import gzip
import struct

import pytest

from scripts.corpus.sources import books, ddtp, ding, gnome, lohelp, man, wesnoth
from scripts.corpus.units import Block

HELP = """<!DOCTYPE html><html><head><title>{0}</title><link href="x.css"></head><body>
<header><p id="par_0">{0}</p></header>
<h1 id="hd_1"><span class="switchinline"><span hidden="true" id="MAC1">mac</span>
<span hidden="true" id="default1">{1}</span></span></h1>
<p id="par_2"><img src="x.png">{2} <span class="emph">{3}</span>.</p><p>no id</p>
<ul><li><p id="par_2">{0}</p></li></ul><pre id="par_4">code</pre>{4}</body></html>"""


def test_lohelp_pairs_elements_by_id_and_occurrence() -> None:
    folder = "usr/share/libreoffice/help"
    source = HELP.format("Head", "Cells", "Choose", "Format &amp; more", '<p id="par_5">only here</p>')
    target = HELP.format("Kopf", "Zellen", "Wählen Sie", "Format", "")
    files = (
        {f"{folder}/en-US/text/a/b.html": source.encode()},
        {f"{folder}/de/text/a/b.html": target.encode()},
    )
    assert list(lohelp.blocks(*files)) == [
        Block("lohelp/a/b", "Cells", "Zellen"),
        Block("lohelp/a/b", "Choose Format & more.", "Wählen Sie Format."),
        Block("lohelp/a/b", "Head", "Kopf"),
    ]


def test_lohelp_leaves_out_a_page_without_translation() -> None:
    page = {"usr/share/libreoffice/help/en-US/text/a.html": HELP.format("a", "b", "c", "d", "").encode()}
    assert list(lohelp.blocks(page, {})) == []
    assert lohelp.is_wanted(next(iter(page)))
    assert not lohelp.is_wanted("usr/share/libreoffice/help/en-US/contents.js")


ENGLISH_LIST = """Package: tool-data
Description-md5: aa
Description-en: game of skill
 A game in
 two lines. It has:
  * levels
  * sounds
 .
 More text.

Package: other
Description-md5: bb
Description-en: other thing
 Text.
"""
GERMAN_LIST = """Package: tool-data
Description-md5: aa
Description-de: Geschicklichkeitsspiel
 Ein Spiel in zwei Zeilen. Es hat:
  * Ebenen
  * Klänge
 .
 Mehr Text.

Package: other
Description-md5: bb
Description-de: andere Sache
"""


def test_ddtp_joins_on_the_checksum_and_needs_the_same_number_of_paragraphs() -> None:
    blocks = list(ddtp.blocks([(ENGLISH_LIST, GERMAN_LIST), (ENGLISH_LIST, GERMAN_LIST)]))
    assert blocks == [
        Block("ddtp/tool", "game of skill", "Geschicklichkeitsspiel"),
        Block("ddtp/tool", "A game in two lines. It has:", "Ein Spiel in zwei Zeilen. Es hat:"),
        Block("ddtp/tool", "levels", "Ebenen"),
        Block("ddtp/tool", "sounds", "Klänge"),
        Block("ddtp/tool", "More text.", "Mehr Text."),
    ]


@pytest.mark.parametrize(
    ("package", "document"),
    [
        ("libfoo-dev", "foo"),
        ("libfoo2", "foo"),
        ("foo-doc", "foo"),
        ("python3-foo", "python3-foo"),
        ("3270", "3270"),
    ],
)
def test_ddtp_puts_sibling_packages_into_one_document(package: str, document: str) -> None:
    assert ddtp.document_of(package) == document


def test_ding_keeps_whole_sentences_only() -> None:
    dictionary = (
        "# comment :: comment\n"
        "Auge {n} | Augen {pl} | Das Auge isst mit. [Sprw.] | Ich/Wir sehen es. :: "
        "eye | eyes | We eat with our eyes. [prov.] | I can see it.\n"
        "Haus {n} | Das Haus ist alt. :: house\n"
    )
    assert list(ding.blocks(dictionary)) == [Block("ding/1", "We eat with our eyes.", "Das Auge isst mit.")]


def test_man_pairs_pages_of_the_same_name_and_families_are_documents() -> None:
    page = ".TH X 3\n.SH {0}\n{1}\n.PP\n{2}\n"
    files = {
        "usr/share/man/man3/x_create.3.gz": gzip.compress(
            page.format("NAME", "make x", "It works.").encode()
        ),
        "usr/share/man/de/man3/x_create.3.gz": gzip.compress(
            page.format("BEZEICHNUNG", "x erstellen", "Es läuft.").encode("iso-8859-1")
        ),
        "usr/share/man/man3/alone.3.gz": gzip.compress(page.format("NAME", "a", "b").encode()),
    }
    assert list(man.blocks(files)) == [
        Block("man/3/x", "NAME", "BEZEICHNUNG"),
        Block("man/3/x", "make x", "x erstellen"),
        Block("man/3/x", "It works.", "Es läuft."),
    ]
    assert not man.is_wanted("usr/share/man/fr/man3/x.3.gz")


PAGE = """<?xml version="1.0" encoding="utf-8"?>
<page xmlns="http://projectmallard.org/1.0/" id="p"><info><link type="guide" xref="i"/>
<desc>{0}</desc><credit type="author"><name>Jane</name></credit></info>
<title>{1}</title><section><p>{2} <code>ls</code> <link xref="y">{3}</link>.</p><code>block of code</code>
<screen>output</screen></section></page>"""


def test_gnome_pairs_the_blocks_of_a_page() -> None:
    files = {
        "usr/share/help/C/app/p.page": PAGE.format("Short", "Title", "Run", "it").encode(),
        "usr/share/help/de/app/p.page": PAGE.format("Kurz", "Titel", "Starten Sie", "es").encode(),
    }
    assert list(gnome.blocks(files)) == [
        Block("gnome/app/p", "Short", "Kurz"),
        Block("gnome/app/p", "Title", "Titel"),
        Block("gnome/app/p", "Run ls it.", "Starten Sie ls es."),
    ]


@pytest.mark.parametrize(
    ("source_path", "target_path", "document"),
    [
        (
            "usr/share/debian-reference/ch01.en.html",
            "usr/share/debian-reference/ch01.de.html",
            "debian-reference/ch01",
        ),
        (
            "usr/share/developers-reference/x.html",
            "usr/share/developers-reference/de/x.html",
            "developers-reference/x",
        ),
        ("usr/share/doc/debian/FAQ/x.en.html", "usr/share/doc/debian/FAQ/de/x.de.html", "FAQ/x"),
        (
            "usr/share/doc/maint-guide/html/x.en.html",
            "usr/share/doc/maint-guide-de/html/x.de.html",
            "maint-guide/x",
        ),
        (
            "usr/share/doc/debian-handbook/html/en-US/x.html",
            "usr/share/doc/debian-handbook/html/de-DE/x.html",
            "debian-handbook/x",
        ),
    ],
)
def test_books_pair_the_blocks_of_a_page(source_path: str, target_path: str, document: str) -> None:
    page = (
        '<html><head><title>T</title></head><body><ul class="docnav"><li>x</li></ul><h1>{0} {1}</h1>'
        '<div class="para">{2}</div><pre>code</pre><ul><li>{3}</li></ul></body></html>'
    )
    files = {
        source_path: page.format("Chapter 1.", "Start", "First text.", "item").encode(),
        target_path: page.format("Kapitel 1.", "Anfang", "Erster Text.", "Punkt").encode(),
    }
    assert list(books.blocks(files)) == [
        Block(f"docs/{document}", "Start", "Anfang"),
        Block(f"docs/{document}", "First text.", "Erster Text."),
        Block(f"docs/{document}", "item", "Punkt"),
    ]
    assert all(map(books.is_wanted, files))


def catalogue(messages: dict[str, str], order: str) -> bytes:
    """A ``.mo`` file as msgfmt writes it, without the hash table."""
    pairs = [(source.encode(), target.encode()) for source, target in messages.items()]
    start = 28 + 16 * len(pairs)
    tables, data = [b"", b""], b""
    for side in (0, 1):
        for pair in pairs:
            tables[side] += struct.pack(f"{order}2I", len(pair[side]), start + len(data))
            data += pair[side] + b"\0"
    header = struct.pack(f"{order}7I", 0x950412DE, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, start)
    return header + tables[0] + tables[1] + data


@pytest.mark.parametrize("order", ["<", ">"])
def test_wesnoth_reads_catalogues_of_either_byte_order(order: str) -> None:
    messages = {
        "": "Content-Type: text/plain; charset=UTF-8\n",
        "female^I am here.": "Ich bin da.",
        "unit\4Elf\0Elves": "Elf\0Elfen",
        "Take $amount gold.": "Nimm $amount Gold.",
        "Untranslated": "",
    }
    path = "usr/share/games/wesnoth/1.16/locale/de/LC_MESSAGES/wesnoth-l.mo"
    blocks = list(wesnoth.blocks({path: catalogue(messages, order), "usr/share/doc/x": b""}))
    assert blocks == [
        Block("wesnoth-l/I am here.", "I am here.", "Ich bin da."),
        Block("wesnoth-l/Elf", "Elf", "Elf"),
    ]
