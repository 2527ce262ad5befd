"""HTML and XML documents as lists of text blocks, with no more of the tree than alignment needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from html.parser import HTMLParser

# Elements without an end tag. Not "link", which in Mallard encloses text; in HTML it has none to lose.
_VOID = frozenset(("area", "base", "br", "col", "embed", "hr", "img", "input", "meta", "source", "wbr"))


@dataclasses.dataclass
class TextBlock:
    """The text of one block of a document.

    ``kind`` is what marks it up (an element, a macro of a manual page), ``identifier`` its id, empty if none.
    """

    kind: str
    text: str
    identifier: str = ""


class BlockReader(HTMLParser):
    """Collects the text of block elements; text goes to the innermost block that is open.

    Args:
        block_tags: elements that make a block of their own.
        skip_tags: elements whose whole content is left out.
        skip_classes: elements of these classes are left out as well.
        block_classes: elements of these classes make a block as well, of a kind named after the class.
    """

    def __init__(
        self,
        block_tags: Collection[str],
        skip_tags: Collection[str],
        skip_classes: Collection[str] = (),
        block_classes: Collection[str] = (),
    ) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[TextBlock] = []
        self._block_tags = frozenset(block_tags)
        self._skip_tags = frozenset(skip_tags)
        self._skip_classes = frozenset(skip_classes)
        self._block_classes = frozenset(block_classes)
        self._open: list[tuple[str, TextBlock | None]] = []  # open elements, each with the block it started
        self._skip_depth = 0

    def skips(self, tag: str, attributes: dict[str, str | None]) -> bool:
        """Whether this element's content is left out; subclasses add their own conditions."""
        classes = (attributes.get("class") or "").split()
        return tag in self._skip_tags or not self._skip_classes.isdisjoint(classes)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _VOID:
            if tag == "br":
                self.handle_data(" ")
            return
        attributes = dict(attrs)
        block = None
        if self._skip_depth or self.skips(tag, attributes):
            self._skip_depth += 1
        elif kind := self._block_kind(tag, attributes):
            block = TextBlock(kind, "", attributes.get("id") or "")
            self.blocks.append(block)
        self._open.append((tag, block))

    def _block_kind(self, tag: str, attributes: dict[str, str | None]) -> str:
        """What kind of block the element starts; empty if none."""
        if tag in self._block_tags:
            return tag
        return next(
            (name for name in (attributes.get("class") or "").split() if name in self._block_classes), ""
        )

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if not any(name == tag for name, _ in self._open):
            return
        while self._open:
            name, _ = self._open.pop()
            self._skip_depth = max(0, self._skip_depth - 1)
            if name == tag:
                return

    def handle_data(self, data: str) -> None:
        if self._skip_depth:
            return
        block = next((block for _, block in reversed(self._open) if block is not None), None)
        if block is not None:
            block.text += data

    def read(self, document: str) -> list[TextBlock]:
        """The blocks of ``document`` that have text, with single spaces."""
        self.feed(document)
        self.close()
        for block in self.blocks:
            block.text = " ".join(block.text.split())
        return [block for block in self.blocks if block.text]
