"""Instances of dataclasses as defaults, as in the sources of fairseq 0.12.2, on Python 3.11 and later."""

import dataclasses
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ednd_nmt import compat

SOURCE = """
from dataclasses import dataclass, field

@dataclass
class Inner:
    size: int = 3

@dataclass(order=True)
class Outer:
    inner: Inner = Inner()
    other: Inner = field(default=Inner(4))
"""


@pytest.fixture
def module_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    name = "module_with_instances_as_defaults"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 takes them")
def test_python_refuses_them(module_name: str) -> None:
    with pytest.raises(ValueError, match="mutable default"):
        importlib.import_module(module_name)


def test_the_repaired_import_takes_them(module_name: str) -> None:
    with compat.repaired_import():
        module = importlib.import_module(module_name)
    assert module.Outer() == module.Outer(module.Inner(3), module.Inner(4))
    assert dataclasses.is_dataclass(module.Outer)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 needs no repair")
def test_lists_as_defaults_are_still_refused() -> None:
    with compat.repaired_import(), pytest.raises(ValueError, match="mutable default"):
        dataclasses.make_dataclass("Wrong", [("values", list, [])])


def test_classes_that_need_no_repair_are_left_alone() -> None:
    with compat.repaired_import():
        plain = dataclasses.make_dataclass("Plain", [("size", int, 3)])
    assert plain.__hash__ is None
