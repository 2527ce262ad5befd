"""Lock the versions that the given environments hold: constraints.txt and requirements/locked*.txt.

    scripts/install.sh --unlocked --extras dev,plots,workflow ENV   # once for each supported Python, then test it
    python scripts/lock.py ENV [ENV ...]

``constraints.txt`` has the versions of everything, for any platform. ``requirements/locked.txt`` (what the package needs)
and ``requirements/locked-EXTRA.txt`` (what an extra adds) have the hashes of the files that pip takes on this platform as
well. torch and what only comes with it has no hash: which build of it is right depends on the machine.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ednd_nmt.files import atomic_writer  # noqa: E402 - this script runs outside of any environment

PACKAGE = "ednd-nmt"
Python = tuple[int, int]  # 3.11 is (3, 11)
BUILD_REQUIREMENTS = ("setuptools", "wheel", "cython", "numpy")  # of a fairseq that is built from source

# Runs in the environment to be locked: {group: {distribution: version}} of what a group needs, torch's own needs left out,
# and under "" of everything installed.
PROBE = """
import json, re, sys
from importlib.metadata import PackageNotFoundError, distribution, distributions
from pip._vendor.packaging.requirements import Requirement

package, *build = json.load(sys.stdin)
normal = lambda name: re.sub(r"[-_.]+", "-", name).lower()

def closure(requirements, extra, found):
    for text in requirements or ():
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = normal(requirement.name)
        if name in found:
            continue
        installed = distribution(name)
        found[name] = installed.version
        if name != "torch":
            closure(installed.requires, "", found)
            for more in requirement.extras:
                closure(installed.requires, more, found)
    return found

installed = {normal(entry.metadata["Name"]): entry.version for entry in distributions()}
own = distribution(package)
base = closure([*own.requires, *(name for name in build if name in installed)], "", {})
groups = {"base": base}
for extra in own.metadata.get_all("Provides-Extra"):
    try:
        everything = closure(own.requires, extra, {})
    except PackageNotFoundError:  # an extra that this environment does not have is not locked
        continue
    groups[extra] = {name: version for name, version in everything.items() if name not in base}
groups[""] = installed
json.dump({"python": list(sys.version_info[:2]), "groups": groups}, sys.stdout)
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "environments", nargs="+", type=Path, help="one for each Python whose versions are locked anew"
    )
    environments = parser.parse_args().environments
    held = {environment: _probe(environment) for environment in environments}
    pythons = {environment: tuple(found["python"]) for environment, found in held.items()}
    constraints = ROOT / "constraints.txt"
    earlier = Lock.read(constraints)
    others = sorted(earlier.named_pythons() - set(pythons.values()))

    everything = earlier.only_of(others)
    for environment, found in held.items():
        everything.add(found["groups"][""], pythons[environment])
    every_python = [*others, *pythons.values()]
    _write(constraints, everything.lines(every_python))

    for group in next(iter(held.values()))["groups"]:
        if group == "":
            continue
        path = ROOT / "requirements" / f"locked{'' if group == 'base' else f'-{group}'}.txt"
        lock = Lock.read(path, every_python).only_of(others)
        for environment, found in held.items():
            versions = {name: version for name, version in found["groups"][group].items() if name != "torch"}
            lock.add(versions, pythons[environment])
            for key, value in _hashes(environment, versions).items():
                lock.hashes[key].add(value)
        _write(path, lock.lines(every_python))


class Lock:
    """Versions by distribution, which Pythons have them, and the hashes of their files.

    Attributes:
        pythons: {(name, version): Pythons that have it}.
        hashes: {(name, version): sha256 of the files}; none in constraints.txt.
    """

    def __init__(self) -> None:
        self.pythons: dict[tuple[str, str], set[Python]] = defaultdict(set)
        self.hashes: dict[tuple[str, str], set[str]] = defaultdict(set)

    @classmethod
    def read(cls, path: Path, every_python: Iterable[Python] = ()) -> Lock:
        """What :meth:`lines` made; a line without a marker is of all Pythons that the file names, or of ``every_python``."""
        lock, text = cls(), path.read_text(encoding="utf-8") if path.exists() else ""
        every = {*every_python, *_pythons_in(text)}
        for line in text.replace(" \\\n    ", " ").splitlines():
            if line.startswith("#"):
                continue
            requirement, *hashes = line.split(" --hash=sha256:")
            pinned, _, marker = requirement.partition(" ; ")
            name, _, version = pinned.partition("==")
            lock.pythons[name, version] = _pythons_in(marker) or set(every)
            lock.hashes[name, version].update(hashes)
        return lock

    def named_pythons(self) -> set[Python]:
        """All that have anything."""
        return set().union(*self.pythons.values())

    def only_of(self, pythons: Iterable[Python]) -> Lock:
        """What these Pythons have of it."""
        found = Lock()
        for key, having in self.pythons.items():
            if kept := having & set(pythons):
                found.pythons[key] = kept
                found.hashes[key] = self.hashes[key]
        return found

    def add(self, versions: dict[str, str], python: Python) -> None:
        """What an environment holds, without the package itself, without pip and without what only comes with torch."""
        for name, version in versions.items():
            if name not in (PACKAGE, "pip") and not (_is_hardware(name) and name != "torch"):
                self.pythons[name, version.partition("+")[0]].add(python)

    def lines(self, every_python: Iterable[Python]) -> Iterator[str]:
        """Requirement lines with their hashes, and a marker where not every Python has that version."""
        for name, version in sorted(self.pythons):
            having = sorted(self.pythons[name, version])
            marker = " or ".join(f"python_version == '{major}.{minor}'" for major, minor in having)
            line = f"{name}=={version}" + ("" if set(having) == set(every_python) else f" ; {marker}")
            yield " \\\n    ".join(
                [line, *(f"--hash=sha256:{value}" for value in sorted(self.hashes[name, version]))]
            )


def _pythons_in(text: str) -> set[Python]:
    return {
        (int(major), int(minor)) for major, minor in re.findall(r"python_version == '(\d+)\.(\d+)'", text)
    }


def _probe(environment: Path) -> dict[str, Any]:
    requirements = json.dumps([PACKAGE, *BUILD_REQUIREMENTS])
    command = [str(environment / "bin" / "python"), "-I", "-c", PROBE]  # not what lies in this folder
    return json.loads(
        subprocess.run(command, input=requirements, capture_output=True, text=True, check=True).stdout
    )


def _is_hardware(name: str) -> bool:
    return name in ("torch", "triton") or name.startswith(("nvidia-", "cuda-"))


def _hashes(environment: Path, versions: dict[str, str]) -> dict[tuple[str, str], str]:
    """sha256 of the file that pip takes in this environment for each of these distributions."""
    if not versions:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "--dry-run"]
        command += ["--ignore-installed", "--no-deps", "--no-build-isolation", "--report", str(report)]
        subprocess.run([*command, *(f"{name}=={version}" for name, version in versions.items())], check=True)
        installs = json.loads(report.read_text(encoding="utf-8"))["install"]
    by_name = {_normal(entry["metadata"]["name"]): entry for entry in installs}
    return {
        (name, version): by_name[name]["download_info"]["archive_info"]["hashes"]["sha256"]
        for name, version in versions.items()
    }


def _normal(name: str) -> str:
    return name.replace("_", "-").replace(".", "-").lower()


def _write(path: Path, lines: Iterable[str]) -> None:
    with atomic_writer(path) as file:
        file.write("# Made by scripts/lock.py; versions that were tested together.\n")
        file.writelines(f"{line}\n" for line in lines)


if __name__ == "__main__":
    main()
