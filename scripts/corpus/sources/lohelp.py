"""LibreOffice help (libreoffice-help-*): HTML pages of the same name whose paragraphs carry the same ids."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from ..markup import BlockReader
from ..units import Block

PACKAGES = {"en": "libreoffice-help-en-us", "de": "libreoffice-help-de", "fr": "libreoffice-help-fr"}
_PAGE = re.compile(r"^usr/share/libreoffice/help/[^/]+/text/(.+)\.html$")
_BLOCK_TAGS = frozenset(("p", "h1", "h2", "h3", "h4", "h5", "h6"))
_SKIP_TAGS = frozenset(("script", "style", "head", "header", "footer", "aside", "noscript", "pre", "title"))


def is_wanted(path: str) -> bool:
    """Whether a file of the package is a help page."""
    return _PAGE.match(path) is not None


class _HelpReader(BlockReader):
    """Of text that differs by application or system only the default is kept."""

    def skips(self, tag: str, attributes: dict[str, str | None]) -> bool:
        variant = "hidden" in attributes and not (attributes.get("id") or "").startswith("default")
        return variant or super().skips(tag, attributes)


def read_page(html: str) -> dict[tuple[str, int], str]:
    """The texts of a page by (id, n-th occurrence of the id); a page that embeds another repeats ids."""
    occurrences: Counter[str] = Counter()
    texts = {}
    for block in _HelpReader(_BLOCK_TAGS, _SKIP_TAGS).read(html):
        if block.identifier:
            texts[block.identifier, occurrences[block.identifier]] = block.text
            occurrences[block.identifier] += 1
    return texts


def blocks(source_files: Mapping[str, bytes], target_files: Mapping[str, bytes]) -> Iterator[Block]:
    """Blocks that have an id on both sides, page by page in the order of the names."""
    targets = {_page(path): content for path, content in target_files.items()}
    for path in sorted(source_files):
        page = _page(path)
        if page not in targets:
            continue
        target = read_page(targets[page].decode("utf-8"))
        for key, text in read_page(source_files[path].decode("utf-8")).items():
            if key in target:
                yield Block(f"lohelp/{page}", text, target[key])


def _page(path: str) -> str:
    match = _PAGE.match(path)
    assert match is not None, path
    return match[1]
