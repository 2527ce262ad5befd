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
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ednd_nmt.files import atomic_writer  # noqa: E402 - this script runs outside of any environment

PACKAGE = "ednd-nmt"
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
    parser.add_argument("environments", nargs="+", type=Path, help="one for each Python that is supported")
    environments = parser.parse_args().environments
    held = {environment: _probe(environment) for environment in environments}
    pythons = {environment: tuple(found["python"]) for environment, found in held.items()}

    everything = _by_version({pythons[e]: found["groups"][""] for e, found in held.items()})
    _write(ROOT / "constraints.txt", (line for line, _ in _lines(everything, list(pythons.values()))))

    for group in next(iter(held.values()))["groups"]:
        if group == "":
            continue
        wanted = {
            e: {n: v for n, v in found["groups"][group].items() if n != "torch"} for e, found in held.items()
        }
        hashes: dict[tuple[str, str], set[str]] = defaultdict(set)
        for environment, versions in wanted.items():
            for key, value in _hashes(environment, versions).items():
                hashes[key].add(value)
        lines = [
            " \\\n    ".join([line, *(f"--hash=sha256:{value}" for value in sorted(hashes[key]))])
            for line, key in _lines(
                _by_version({pythons[e]: versions for e, versions in wanted.items()}), list(pythons.values())
            )
        ]
        suffix = "" if group == "base" else f"-{group}"
        _write(ROOT / "requirements" / f"locked{suffix}.txt", lines)


def _probe(environment: Path) -> dict[str, Any]:
    requirements = json.dumps([PACKAGE, *BUILD_REQUIREMENTS])
    command = [str(environment / "bin" / "python"), "-c", PROBE]
    return json.loads(
        subprocess.run(command, input=requirements, capture_output=True, text=True, check=True).stdout
    )


def _is_hardware(name: str) -> bool:
    return name in ("torch", "triton") or name.startswith(("nvidia-", "cuda-"))


def _by_version(held: dict[tuple[int, int], dict[str, str]]) -> dict[str, dict[str, list[tuple[int, int]]]]:
    """{name: {version: [Python, ...]}}, without the package itself and without pip."""
    found: dict[str, dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    for python, versions in held.items():
        for name, version in versions.items():
            if name not in (PACKAGE, "pip") and not (_is_hardware(name) and name != "torch"):
                found[name][version.partition("+")[0]].append(python)
    return found


def _lines(
    found: dict[str, dict[str, list[tuple[int, int]]]], pythons: list[tuple[int, int]]
) -> Iterable[tuple[str, tuple[str, str]]]:
    """Requirement lines with their (name, version); a marker where not every Python has that version."""
    for name in sorted(found):
        for version, having in sorted(found[name].items()):
            marker = " or ".join(f"python_version == '{major}.{minor}'" for major, minor in sorted(having))
            line = f"{name}=={version}"
            yield (line if sorted(having) == sorted(pythons) else f"{line} ; {marker}"), (name, version)


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
