"""Which files belong to which system and set: from the command line to paths."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ednd_nmt.errors import UserError

SUFFIX = ".jsonl"


@dataclass(frozen=True)
class Inputs:
    """Paths by system and set; every system has the in-domain set."""

    files: dict[str, dict[str, Path]]  # system -> set -> file
    in_domain: str
    shifted: list[str]  # sets that at least one system has, in the order asked for or sorted


def find_inputs(
    systems: Sequence[str],
    files: Sequence[str] = (),
    in_domain: str = "test",
    shifted: Sequence[str] | None = None,
) -> Inputs:
    """Resolve the systems of a command line.

    Args:
        systems: ``NAME=FOLDER``, where the folder holds ``<set>.jsonl`` for each set, or ``NAME=FILE`` for
            the in-domain set alone; without ``NAME=`` the name of the folder or file is taken.
        files: single files as ``SYSTEM:SET=PATH``, added to the above.
        in_domain: name of the in-domain set.
        shifted: names of the shifted sets; every other set that is found if None.

    Raises:
        UserError: nothing given, a path that does not exist, a name given twice, a set whose name has a slash, a system
            without the in-domain set, or a shifted set that no system has.
    """
    found: dict[str, dict[str, Path]] = {}
    for item in systems:
        name, path = _named(item)
        if name in found:
            raise UserError(
                f"Two systems are called {name!r}; name them apart, as in first={path} second=..."
            )
        found[name] = _sets(path, in_domain)
    for item in files:
        key, _, place = item.partition("=")
        system, _, set_name = key.partition(":")
        if not (system and set_name and place):
            raise UserError(f"Cannot read --file {item!r}; write it as SYSTEM:SET=PATH.")
        if set_name in found.setdefault(system, {}):
            raise UserError(
                f"The set {set_name!r} of {system} is given twice; leave out --file {item}, or the other one."
            )
        found[system][set_name] = _existing(place)
    if not found:
        raise UserError(
            "No system is given; name at least one folder of uncertainty files, as in student=runs/student."
        )
    for name in {name for sets in found.values() for name in sets if "/" in name}:
        raise UserError(
            f"The name {name!r} of a set has a slash, but files are named after sets; choose another name."
        )
    for system, sets in found.items():
        if in_domain not in sets:
            names = ", ".join(sets) or "none"
            raise UserError(
                f"System {system!r} has no set {in_domain!r} (it has: {names}); "
                f"add {in_domain}{SUFFIX} or name another set with --in-domain."
            )
    return Inputs(found, in_domain, _shifted(found, in_domain, shifted))


def _shifted(found: dict[str, dict[str, Path]], in_domain: str, wanted: Sequence[str] | None) -> list[str]:
    available = sorted({name for sets in found.values() for name in sets} - {in_domain})
    if wanted is None:
        return available
    missing = [name for name in wanted if name not in available]
    if missing:
        raise UserError(
            f"No system has the shifted set {missing[0]!r}; found: {', '.join(available) or 'none'}."
        )
    return list(dict.fromkeys(wanted))


def _named(item: str) -> tuple[str, Path]:
    if os.path.exists(item):  # of a name with an equals sign, as Hydra's folders have it
        return Path(item).resolve().name.removesuffix(SUFFIX), Path(item)
    name, separator, place = item.partition("=")
    path = _existing(place if separator else item)
    return (name if separator and name else path.resolve().name.removesuffix(SUFFIX)), path


def _sets(path: Path, in_domain: str) -> dict[str, Path]:
    if path.is_dir():
        return {file.name.removesuffix(SUFFIX): file for file in sorted(path.glob(f"*{SUFFIX}"))}
    return {in_domain: path}


def _existing(place: str) -> Path:
    path = Path(place)
    if not os.path.exists(path):  # of a name that no file can have, too
        raise UserError(f"There is no {place}; give a folder of uncertainty files or one such file.")
    return path
