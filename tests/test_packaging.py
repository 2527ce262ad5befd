"""What a wheel holds: the package with all its data, and nothing else."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest
from own_process import python

from scripts.lock import Lock

ROOT = Path(__file__).resolve().parent.parent


def test_a_wheel_holds_every_file_of_the_package_and_no_other(tmp_path: Path) -> None:
    source = tmp_path / "source"  # a copy: building leaves files behind
    shutil.copytree(ROOT / "ednd_nmt", source / "ednd_nmt", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests/evaluation", source / "tests/evaluation")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    code = f"from setuptools.build_meta import build_wheel; build_wheel({str(tmp_path)!r})"
    built = python("-c", code, folder=source)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    files = (path for path in (ROOT / "ednd_nmt").rglob("*") if path.is_file())
    assert held == {path.relative_to(ROOT).as_posix() for path in files if path.suffix != ".pyc"}
    for kind in ("html", "css", "js"):
        assert any(
            name.startswith("ednd_nmt/evaluation/report/assets/") and name.endswith(kind) for name in held
        )
    assert "ednd_nmt/py.typed" in held


@pytest.mark.parametrize(
    "path", [ROOT / "constraints.txt", *sorted((ROOT / "requirements").glob("*.txt"))], ids=lambda p: p.name
)
def test_what_is_locked_is_read_and_written_alike(path: Path) -> None:
    every = Lock.read(ROOT / "constraints.txt").named_pythons()
    head, _, rest = path.read_text(encoding="utf-8").partition("\n")
    lock = Lock.read(path, every)
    assert "".join(f"{line}\n" for line in lock.lines(every)) == rest
    assert head.startswith("# Made by scripts/lock.py")
    assert all(lock.hashes[key] for key in lock.pythons) == (path.name != "constraints.txt")
