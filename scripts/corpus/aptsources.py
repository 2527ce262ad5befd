"""The machine's package sources, in one-line and in deb822 style (sources.list(5))."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

_ONE_LINE = re.compile(r"^(deb(?:-src)?)\s+(?:\[([^]]*)]\s+)?(\S+)\s+(\S+)\s*(.*)$")
_DERIVED_SUITE = re.compile(r"[-/](updates|security|backports|proposed|sloppy|lts|debug)")


@dataclasses.dataclass(frozen=True)
class AptSource:
    """One place that binary packages come from, with those of its options that say what to trust."""

    uri: str
    suite: str
    components: tuple[str, ...]
    options: tuple[str, ...] = ()

    def line(self, *, options: Iterable[str] = (), suite: str | None = None) -> str:
        """This source as a line of ``sources.list``, with further bracketed options or another suite."""
        bracket = [*options, *self.options]
        head = f"deb [{' '.join(bracket)}]" if bracket else "deb"
        return f"{head} {self.uri} {suite or self.suite} {' '.join(self.components)}"


def parse_one_line(text: str) -> list[AptSource]:
    """Parse the one-line style; flat repositories (a suite that ends in ``/``) are left out."""
    sources = []
    for line in text.splitlines():
        match = _ONE_LINE.match(line.split("#", 1)[0].strip())
        if match is None or match[1] != "deb" or match[4].endswith("/"):
            continue
        options = dict(option.split("=", 1) for option in (match[2] or "").split() if "=" in option)
        sources.append(AptSource(match[3], match[4], tuple(match[5].split()), _trust(options)))
    return sources


def parse_deb822(text: str) -> list[AptSource]:
    """Parse the deb822 style; stanzas with ``Enabled: no`` and flat repositories are left out."""
    sources = []
    for stanza in re.split(r"\n\s*\n", text):
        fields = deb822_fields(stanza)
        enabled = fields.get("enabled", "yes").lower() not in {"no", "false", "0"}
        if not enabled or "deb" not in fields.get("types", "").split():
            continue
        components = tuple(fields.get("components", "").split())
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                if not suite.endswith("/"):
                    sources.append(AptSource(uri, suite, components, _trust(fields)))
    return sources


def deb822_fields(stanza: str) -> dict[str, str]:
    """The fields of one stanza by lower-case name; continuation lines are joined with newlines."""
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1] in {" ", "\t"}:
            if name:
                fields[name] += "\n" + line.strip()
        elif ":" in line:
            name, value = line.split(":", 1)
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def read_sources(source_list: Path, source_parts: Path) -> list[AptSource]:
    """All sources of the machine in apt's order: ``source_list``, then the files of ``source_parts``."""
    files = [source_list, *(sorted(source_parts.iterdir()) if source_parts.is_dir() else [])]
    sources: list[AptSource] = []
    for file in files:
        if file.is_file() and file.suffix in {".list", ".sources"}:
            text = file.read_text(encoding="utf-8", errors="replace")
            sources += parse_deb822(text) if file.suffix == ".sources" else parse_one_line(text)
    return sources


def main_source(sources: Iterable[AptSource], codename: str) -> AptSource | None:
    """The source of the release itself: by its ``codename``, else the first that is no update or backport.

    All components that the machine takes from that mirror and suite are put together, ``main`` among them.
    """
    plain = [s for s in sources if "main" in s.components and not _DERIVED_SUITE.search(s.suite)]
    chosen = next((s for s in plain if s.suite == codename), plain[0] if plain else None)
    if chosen is None:
        return None
    same = [s for s in plain if (s.uri, s.suite) == (chosen.uri, chosen.suite)]
    components = tuple(dict.fromkeys(component for source in same for component in source.components))
    return dataclasses.replace(chosen, components=components)


def _trust(options: Mapping[str, str]) -> tuple[str, ...]:
    """Those options, as in brackets of the one-line style, that a source for other lists must keep.

    ``Signed-By`` only as a path or fingerprint: an inline key cannot go into one line.
    """
    kept = {name: options[name] for name in ("signed-by", "trusted", "check-valid-until") if name in options}
    return tuple(f"{name}={value}" for name, value in kept.items() if " " not in value and "\n" not in value)
