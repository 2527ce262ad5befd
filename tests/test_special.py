"""Our series against 40-digit arithmetic; the bounds are those of the table in ``ednd_nmt/special.py``."""

from __future__ import annotations

from collections.abc import Callable

import mpmath
import numpy as np
import pytest
import torch
from torch import Tensor

from ednd_nmt import special

mpmath.mp.dps = 40

EXACT: dict[str, Callable[[mpmath.mpf], mpmath.mpf]] = {
    "digamma": mpmath.digamma,
    "trigamma": lambda x: mpmath.psi(1, x),
    "lgamma": mpmath.loggamma,
    "digamma_remainder": lambda x: x * (mpmath.log(x) - mpmath.digamma(x)),
    "digamma_complement": lambda x: x * (mpmath.digamma(x + 1) - mpmath.log(x)),
    "trigamma_remainder": lambda x: x * (x * mpmath.psi(1, x) - 1),
    "lgamma_remainder": lambda x: (
        mpmath.loggamma(x) - (x - mpmath.mpf(1) / 2) * mpmath.log(x) + x - mpmath.log(2 * mpmath.pi) / 2
    ),
}
BOUNDS = {  # float32, float64; of max(1, |value|) but for trigamma, which spans 70 decades: of |value|
    "digamma_remainder": (2.0e-7, 4.0e-16),
    "digamma_complement": (2.0e-7, 4.0e-16),
    "trigamma_remainder": (2.0e-7, 4.0e-16),
    "lgamma_remainder": (2.5e-7, 5.0e-16),
    "digamma": (2.0e-7, 4.0e-16),
    "trigamma": (2.0e-7, 4.0e-16),
    "lgamma": (4.0e-7, 8.0e-16),
}
FAST_BOUNDS = (1.2e-7, 2.5e-16)
REMAINDERS = ("digamma_remainder", "digamma_complement", "trigamma_remainder", "lgamma_remainder")


def grid(offset: float, dtype: torch.dtype) -> Tensor:
    """x = offset + exp(z) for z from -60 to 40, dense around x = 1, where the recurrence and the series meet."""
    z = np.concatenate([np.linspace(-60, 40, 401), np.linspace(-3, 3, 401)])
    values = offset + np.exp(z)
    near_one = 1 + np.array([-1e-3, -1e-6, -1e-7, 0.0, 1e-7, 1e-6, 1e-3])
    return torch.tensor(np.concatenate([values, near_one[near_one >= offset]]), dtype=dtype)


def largest_error(name: str, x: Tensor, value: Tensor) -> float:
    errors = []
    for argument, got in zip(x.tolist(), value.tolist(), strict=True):
        exact = EXACT[name](mpmath.mpf(argument))
        scale = abs(exact) if name == "trigamma" else max(1, abs(exact))
        if name != "trigamma" or abs(exact) < 3e38:  # beyond it float32 has no finite answer
            errors.append(abs(mpmath.mpf(got) - exact) / scale)
    return float(max(errors))


@pytest.mark.parametrize("offset", [0.0, 0.3, 1.0, 2.0])
@pytest.mark.parametrize(("dtype", "column"), [(torch.float32, 0), (torch.float64, 1)])
@pytest.mark.parametrize("name", list(BOUNDS))
def test_error_is_within_the_documented_bound(
    name: str, dtype: torch.dtype, column: int, offset: float
) -> None:
    x = grid(offset, dtype)
    assert largest_error(name, x, getattr(special, name)(x)) <= BOUNDS[name][column]


@pytest.mark.parametrize(("dtype", "column"), [(torch.float32, 0), (torch.float64, 1)])
@pytest.mark.parametrize("name", REMAINDERS)
def test_fast_path_for_arguments_from_one(name: str, dtype: torch.dtype, column: int) -> None:
    x = grid(1.0, dtype)
    assert largest_error(name, x, getattr(special, name)(x, below_one=False)) <= FAST_BOUNDS[column]


@pytest.mark.parametrize("name", REMAINDERS)
@pytest.mark.parametrize("below_one", [True, False])
def test_finite_beyond_the_documented_range(name: str, below_one: bool) -> None:
    x = torch.tensor([1.0, 1e20, 1e30, 3e38])
    if below_one:
        x = torch.cat([x, torch.tensor([special.SMALLEST_CONCENTRATION, 1e-30])])
    assert torch.isfinite(getattr(special, name)(x, below_one=below_one)).all()


def test_all_remainders_at_once() -> None:
    x = grid(0.0, torch.float64).unsqueeze(-1)
    for name, value in zip(("digamma", "trigamma", "lgamma"), special.all_remainders(x), strict=True):
        assert largest_error(f"{name}_remainder", x.squeeze(-1), value.squeeze(-1)) <= 5e-16


def test_lgamma_exact_has_no_pole() -> None:
    assert special.lgamma_exact(0.0) == 0.0
    assert special.lgamma_exact(5.0) == pytest.approx(np.log(24), rel=1e-15)
