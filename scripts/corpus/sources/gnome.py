"""GNOME's help in the Mallard format: pages of the same name, whose blocks stand in the same order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ..blockalign import align_blocks
from ..markup import BlockReader
from ..units import Block

PACKAGES = (
    "gnome-user-docs", "baobab", "bijiben", "brasero-common", "cheese-common", "deja-dup", "devhelp-common",
    "easytag", "endeavour-common", "eog", "epiphany-browser-data", "evince-common", "evolution-common",
    "file-roller", "frogr-data", "gbrainy", "gedit-common", "ghex", "gnome-boxes", "gnome-calculator",
    "gnome-chess", "gnome-clocks", "gnome-dictionary", "gnome-mines", "gnome-music", "gnome-photos",
    "gnome-sudoku", "gnome-system-monitor", "gnome-terminal-data", "gnote", "gthumb-data", "meld", "orca",
    "polari", "quadrapassel", "seahorse", "shotwell-common", "simple-scan", "swell-foop", "totem-common",
    "vinagre",
)  # fmt: skip
_PAGE = re.compile(r"^usr/share/help/(C|de)/(.+)\.page$")
_BLOCK_TAGS = ("p", "title", "desc", "cite", "td")
_SKIP_TAGS = ("credit", "mal:credit", "license", "code", "screen", "comment", "revision")


def is_wanted(path: str) -> bool:
    """Whether a file is an English or a German page."""
    return _PAGE.match(path) is not None


class _PageReader(BlockReader):
    """Inline ``<code>`` is part of its sentence, ``<code>`` between the blocks is not."""

    def skips(self, tag: str, attributes: dict[str, str | None]) -> bool:
        inline = tag == "code" and any(block is not None for _, block in self._open)
        return not inline and super().skips(tag, attributes)


def blocks(files: Mapping[str, bytes]) -> Iterator[Block]:
    """Blocks of every page that is there in both languages; a page is a document."""
    pages: dict[str, dict[str, bytes]] = {"C": {}, "de": {}}
    for path, content in files.items():
        match = _PAGE.match(path)
        if match is not None:
            pages[match[1]][match[2]] = content
    for page in sorted(pages["C"].keys() & pages["de"].keys()):
        sources, targets = (
            _PageReader(_BLOCK_TAGS, _SKIP_TAGS).read(pages[language][page].decode("utf-8"))
            for language in ("C", "de")
        )
        for source, target in align_blocks(sources, targets):
            yield Block(f"gnome/{page}", source, target)
