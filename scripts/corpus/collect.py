"""From the name of a source to its blocks: which packages it needs in this release, and who reads them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from .apt import Package, PackageList, PrivateApt
from .progress import say
from .sources import books, ddtp, ding, gnome, lohelp, man, wesnoth
from .units import Block


@dataclasses.dataclass(frozen=True)
class Source:
    """How one source is fetched and read.

    ``packages`` names what it needs, given the names of all packages of the release; ``read`` gets those
    that the release has, by name, and the translation lists. ``sentences`` tells whether its blocks are split.
    """

    packages: Callable[[frozenset[str]], Sequence[str]]
    read: Callable[[Mapping[str, Package], Sequence[PackageList]], Iterator[Block]]
    sentences: bool = True


def fetch(apt: PrivateApt, names: Iterable[str]) -> dict[str, list[Package]]:
    """The packages of each named source; what this release lacks is said and left out."""
    known = apt.names()
    wanted = {name: list(SOURCES[name].packages(known)) for name in names}
    missing = sorted({package for of_source in wanted.values() for package in of_source} - known)
    if missing:
        say(f"{apt.source.suite} has no package {', '.join(missing)}; going on without")
    present = {
        name: [package for package in of_source if package in known] for name, of_source in wanted.items()
    }
    fetched = apt.fetch(dict.fromkeys(package for of_source in present.values() for package in of_source))
    return {name: [fetched[package] for package in of_source] for name, of_source in present.items()}


def read(name: str, packages: Sequence[Package], lists: Sequence[PackageList]) -> Iterator[Block]:
    """The blocks of a source."""
    return SOURCES[name].read({package.name: package for package in packages}, lists)


def _read_ddtp(_: Mapping[str, Package], lists: Sequence[PackageList]) -> Iterator[Block]:
    places: dict[tuple[str, str], dict[str, PackageList]] = {}
    for each in lists:
        places.setdefault((each.suite, each.component), {})[each.language] = each
    complete = [place for place in places.values() if {"en", "de"} <= place.keys()]
    return ddtp.blocks((place["en"].read(), place["de"].read()) for place in complete)


def _read_ding(packages: Mapping[str, Package], _: Sequence[PackageList]) -> Iterator[Block]:
    for package in packages.values():
        for _path, content in package.files(ding.is_wanted):
            yield from ding.blocks(content.decode("utf-8"))


def _lohelp(target: str) -> Source:
    names = [lohelp.PACKAGES["en"], lohelp.PACKAGES[target]]

    def read_help(packages: Mapping[str, Package], _: Sequence[PackageList]) -> Iterator[Block]:
        if all(name in packages for name in names):
            sources, targets = (dict(packages[name].files(lohelp.is_wanted)) for name in names)
            yield from lohelp.blocks(sources, targets)

    return Source(lambda known: names, read_help)


def _files(
    names: Callable[[frozenset[str]], Sequence[str]],
    is_wanted: Callable[[str], bool],
    blocks: Callable[[Mapping[str, bytes]], Iterator[Block]],
) -> Source:
    """A source that reads the wanted files of all its packages together."""

    def read_files(packages: Mapping[str, Package], _: Sequence[PackageList]) -> Iterator[Block]:
        return blocks(
            {path: content for each in packages.values() for path, content in each.files(is_wanted)}
        )

    return Source(names, read_files)


def _newest_wesnoth(known: frozenset[str]) -> list[str]:
    """The campaigns of the newest version of the game that the release has."""
    names = sorted(name for name in known if wesnoth.PACKAGE.match(name))
    newest = max((name.split("-")[1] for name in names), key=lambda v: [*map(int, v.split("."))], default="")
    return [name for name in names if name.split("-")[1] == newest]


SOURCES: dict[str, Source] = {
    "ddtp": Source(lambda known: [], _read_ddtp),
    "man": _files(lambda known: man.PACKAGES, man.is_wanted, man.blocks),
    "lohelp": _lohelp("de"),
    "lohelp-fr": _lohelp("fr"),
    "gnome": _files(lambda known: gnome.PACKAGES, gnome.is_wanted, gnome.blocks),
    "docs": _files(lambda known: books.DOCS_PACKAGES, books.is_wanted, books.blocks),
    "handbook": _files(lambda known: books.HANDBOOK_PACKAGES, books.is_wanted, books.blocks),
    "ding": Source(lambda known: [ding.PACKAGE], _read_ding),
    "wesnoth": dataclasses.replace(
        _files(_newest_wesnoth, wesnoth.is_wanted, wesnoth.blocks), sentences=False
    ),
}
