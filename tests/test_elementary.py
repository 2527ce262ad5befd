"""Exponential and logarithm of compiled bodies against 40-digit arithmetic; bounds as in ``ednd_nmt/elementary.py``."""

from __future__ import annotations

import math
from collections.abc import Callable

import mpmath
import pytest
import torch
from compiled_bodies import compiled_bodies  # noqa: F401 - a fixture
from torch import Tensor

from ednd_nmt.compiled import compilable
from ednd_nmt.elementary import exp, log_, polynomial

mpmath.mp.dps = 40
BOUND = 1.2e-7


@compilable
def compiled_exp(x: Tensor) -> Tensor:
    return exp(x)


@compilable
def compiled_log(x: Tensor) -> Tensor:
    return log_(x.clone())


def largest_relative_error(exact: Callable[[mpmath.mpf], mpmath.mpf], x: Tensor, value: Tensor) -> float:
    pairs = zip(x.tolist(), value.tolist(), strict=True)
    errors = ((mpmath.mpf(got), exact(mpmath.mpf(argument))) for argument, got in pairs)
    return float(max(abs(got - wanted) / abs(wanted) if wanted else abs(got) for got, wanted in errors))


@pytest.mark.slow
@pytest.mark.usefixtures("compiled_bodies")
def test_the_compiled_exponential_is_precise() -> None:
    halves = (torch.arange(-124, 126) + 0.5) * math.log(2)  # where one exponent gives way to the next
    x = torch.cat([torch.linspace(-87, 88, 3001), halves, torch.zeros(1)])
    assert largest_relative_error(mpmath.exp, x, compiled_exp(x)) < BOUND


@pytest.mark.slow
@pytest.mark.usefixtures("compiled_bodies")
def test_the_compiled_logarithm_is_precise() -> None:
    powers = 2.0 ** torch.arange(-125, 127)
    near = 1 + torch.logspace(-7, -1, 200)
    roots = powers * 0.5**0.5 * torch.tensor([[1 - 1e-6], [1.0], [1 + 1e-6]])  # where the mantissa wraps
    x = torch.cat([torch.logspace(-37, 38, 2001), powers, near, 2 - near, roots.flatten()])
    assert largest_relative_error(mpmath.log, x, compiled_log(x)) < BOUND


@pytest.mark.slow
@pytest.mark.usefixtures("compiled_bodies")
def test_the_ends_of_the_range() -> None:
    x = torch.tensor([float("-inf"), -200.0, 200.0, float("inf"), float("nan"), 0.0])
    least, low, high, most, missing, one = compiled_exp(x).tolist()
    assert 0 < least == low < 1.7e-38
    assert 1.6e38 < high == most < float("inf")
    assert missing != missing
    assert one == 1
    least, zero, missing = compiled_log(torch.tensor([1e-44, 0.0, float("nan")])).tolist()
    assert least == zero == pytest.approx(-87.3365)
    assert missing != missing


@pytest.mark.parametrize("name", ["exp", "log"])
def test_elsewhere_they_are_pytorchs_own(name: str) -> None:
    x = torch.tensor([0.5, 1.0, 40.0], dtype=torch.float64)
    ours = {"exp": exp, "log": log_}[name](x.clone())
    assert torch.equal(ours, getattr(x, name)())


@pytest.mark.parametrize("count", range(2, 10))
def test_polynomial(count: int) -> None:
    coefficients = [(-1) ** i * (i + 1.0) for i in range(count)]
    x = torch.tensor([-2.0, -0.5, 0.0, 0.5, 3.0], dtype=torch.float64)
    expected = torch.stack([c * x**i for i, c in enumerate(coefficients)]).sum(0)
    torch.testing.assert_close(polynomial(coefficients, x), expected)
