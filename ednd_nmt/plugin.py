"""Registration with fairseq, whichever of the two is imported first.

fairseq finds tasks, models and criterions in registries that are filled as modules are imported. ``import
ednd_nmt`` must stay light and must work without fairseq, so that registration happens at once only if fairseq
is there already (as with ``--user-dir``), and otherwise when something imports it.
"""

from __future__ import annotations

import importlib
import importlib.abc
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

REGISTERED_PACKAGES = ("ednd_nmt.criterions", "ednd_nmt.models", "ednd_nmt.tasks")


def install() -> None:
    """Register with fairseq now, or as soon as it is imported. May be called any number of times."""
    if "fairseq" in sys.modules:
        _repair_and_register()
    elif not any(isinstance(finder, _FairseqFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _FairseqFinder())


def _repair_and_register() -> None:
    from ednd_nmt import compat, errors, published

    compat.repair_after_import()
    published.install()
    errors.print_user_errors_as_sentences()
    for package in REGISTERED_PACKAGES:
        importlib.import_module(package)


class _FairseqFinder(importlib.abc.MetaPathFinder):
    """Finds ``fairseq`` as the other finders do, and has its loader repair and register."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "fairseq":
            return None
        for finder in sys.meta_path:
            if finder is not self and hasattr(finder, "find_spec"):
                spec = finder.find_spec(fullname, path, target)
                if spec is not None:
                    if spec.loader is not None and spec.origin is not None:  # else a mere folder of that name
                        spec.loader = _RegisteringLoader(spec.loader)
                    return spec
        return None


class _RegisteringLoader(importlib.abc.Loader):
    """Executes fairseq as its own loader does, but repaired, and registers this package with it."""

    def __init__(self, original: Any) -> None:
        self._original = original

    def __getattr__(self, name: str) -> Any:  # reading resources, source and the like
        return getattr(self._original, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._original.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        from ednd_nmt import compat

        module.__loader__ = self._original
        if module.__spec__ is not None:
            module.__spec__.loader = self._original
        with compat.repaired_import():
            self._original.exec_module(module)
        _repair_and_register()
