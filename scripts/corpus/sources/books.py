"""Debian's books in HTML: pages of the same name, whose blocks stand in the same order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ..blockalign import align_blocks
from ..markup import BlockReader, TextBlock
from ..units import Block

DOCS_PACKAGES = (
    "debian-reference-en", "debian-reference-de", "developers-reference", "developers-reference-de",
    "debian-faq", "debian-faq-de", "maint-guide", "maint-guide-de",
)  # fmt: skip
HANDBOOK_PACKAGES = ("debian-handbook",)

# Each path gives the book, the language and the page; the language is English where its group did not match.
_PAGES = (
    re.compile(r"^usr/share/(?P<book>debian-reference)/(?P<page>[^/]+)\.(?P<language>en|de)\.html$"),
    re.compile(r"^usr/share/(?P<book>developers-reference)/(?:(?P<language>de)/)?(?P<page>[^/]+)\.html$"),
    re.compile(r"^usr/share/doc/debian/(?P<book>FAQ)/(?:de/)?(?P<page>[^/]+)\.(?P<language>en|de)\.html$"),
    re.compile(
        r"^usr/share/doc/(?P<book>maint-guide)(?:-de)?/html/(?P<page>[^/]+)\.(?P<language>en|de)\.html$"
    ),
    re.compile(
        r"^usr/share/doc/(?P<book>debian-handbook)/html/(?P<language>en|de)-\w\w/(?P<page>[^/]+)\.html$"
    ),
)
_BLOCK_TAGS = ("p", "h1", "h2", "h3", "h4", "h5", "h6", "li", "dt", "dd", "td", "th")
_SKIP_TAGS = ("head", "script", "style", "pre", "footer", "nav")
_SKIP_CLASSES = (
    "docnav",
    "toc",
    "navheader",
    "navfooter",
    "related",
    "sphinxsidebar",
    "headerlink",
    "programlisting",
)
_BLOCK_CLASSES = ("para",)  # the handbook's paragraphs
_NUMBER = re.compile(
    r"^(?:(?:Chapter|Kapitel|Appendix|Anhang|Table|Tabelle|Figure|Abbildung|Example|Beispiel) )?"
    r"(?:[A-Z]\.|\d+\.)[\d.]*\s+"
)


def is_wanted(path: str) -> bool:
    """Whether a file is a page of one of the books in English or German."""
    return any(pattern.match(path) for pattern in _PAGES)


def read_page(html: str) -> list[TextBlock]:
    """The blocks of a page; headings without their numbers."""
    blocks = BlockReader(_BLOCK_TAGS, _SKIP_TAGS, _SKIP_CLASSES, _BLOCK_CLASSES).read(html)
    for block in blocks:
        block.text = _NUMBER.sub("", block.text)
    return blocks


def blocks(files: Mapping[str, bytes]) -> Iterator[Block]:
    """Blocks of every page that is there in both languages; a page is a document."""
    pages: dict[str, dict[str, bytes]] = {"en": {}, "de": {}}
    for path, content in files.items():
        match = next(filter(None, (pattern.match(path) for pattern in _PAGES)), None)
        if match is not None:
            pages[match["language"] or "en"][f"{match['book']}/{match['page']}"] = content
    for page in sorted(pages["en"].keys() & pages["de"].keys()):
        sources, targets = (read_page(pages[language][page].decode("utf-8")) for language in ("en", "de"))
        for source, target in align_blocks(sources, targets):
            yield Block(f"docs/{page}", source, target)
