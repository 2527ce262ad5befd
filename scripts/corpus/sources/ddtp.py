"""Debian package descriptions (the Debian Description Translation Project), from apt's translation lists."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ..aptsources import deb822_fields
from ..units import Block

_STEM_END = re.compile(
    r"(-(dev|doc|data|common|dbg|bin|utils|tools|gtk|qt|perl|python|ruby|java|l10n)|[\d.]+)+$"
)


def read_list(text: str, language: str) -> dict[str, tuple[str, list[str]]]:
    """``{Description-md5: (package, paragraphs)}``; the first paragraph is the one-line summary."""
    descriptions = {}
    field = f"description-{language}"
    for stanza in text.split("\n\n"):
        fields = deb822_fields(stanza)
        if field in fields and "description-md5" in fields:
            descriptions[fields["description-md5"]] = (fields["package"], read_description(fields[field]))
    return descriptions


def read_description(value: str) -> list[str]:
    """The paragraphs of a description and the items of its lists, each joined into one line."""
    summary, *lines = value.split("\n")
    paragraphs = [summary]
    for paragraph in re.split(r"\n\.\n", "\n" + "\n".join(lines)):
        items = re.split(r"\n(?=[*•+-]\s)", paragraph)
        paragraphs += [
            " ".join(re.sub(r"^[*•+-]\s+", "", item.strip()).split()) for item in items if item.strip()
        ]
    return paragraphs


def document_of(package: str) -> str:
    """The document of a package's description: its name without the endings that siblings differ in."""
    return _STEM_END.sub("", package.removeprefix("lib")) or package


def blocks(lists: Iterable[tuple[str, str]]) -> Iterator[Block]:
    """Blocks of every pair of lists ``(English, German)``, joined on the checksum of the English description.

    Translations with another number of paragraphs are left out; a description met before is not repeated.
    """
    seen: set[str] = set()
    for source_text, target_text in lists:
        sources, targets = read_list(source_text, "en"), read_list(target_text, "de")
        for checksum, (package, paragraphs) in sources.items():
            translated = targets.get(checksum, ("", []))[1]
            if checksum in seen or len(translated) != len(paragraphs):
                continue
            seen.add(checksum)
            for source, target in zip(paragraphs, translated, strict=True):
                yield Block(f"ddtp/{document_of(package)}", source, target)
