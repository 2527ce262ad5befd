"""The examples in the docstrings of the modules that need no fairseq run, and every public function of the maths has one."""

from __future__ import annotations

import doctest
import importlib

import pytest

import ednd_nmt

MODULES = [
    "annealing", "chunked", "dirichlet", "ensemble", "measures", "objectives.forward_kl", "objectives.likelihood",
    "objectives.mean_kl", "objectives.reverse_kl", "proxy", "special",
]  # fmt: skip
PUBLIC = [
    "ensemble_statistics", "proxy_target", "reverse_kl_loss", "forward_kl_loss", "dirichlet_likelihood_loss",
    "mean_kl_loss", "dirichlet_uncertainty",
]  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"ednd_nmt.{name}")).failed == 0


@pytest.mark.parametrize("name", PUBLIC)
def test_the_public_function_has_an_example(name: str) -> None:
    (found,) = doctest.DocTestFinder(recurse=False).find(getattr(ednd_nmt, name), name)
    assert found.examples
