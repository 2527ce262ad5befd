"""Digamma, trigamma and log-gamma by short polynomials, without branches on the elements.

Stirling's leading terms are split off, and what remains is smooth in ``v = 1 / (x + 1)``::

                                                                          at 0         at 1    at infinity
    digamma_remainder(x)  = x (ln x - psi(x))                             1            0.577   1/2
    trigamma_remainder(x) = x (x psi1(x) - 1)                             1            0.645   1/2
    lgamma_remainder(x)   = lnGamma(x) - (x - 1/2) ln x + x - ln(2 pi)/2  infinite     0.081   0

The objectives and the uncertainty measures are written in these remainders, because their large terms cancel
on paper and not in floating point. For ``x >= 1`` each remainder is one polynomial
(``scripts/fit_series.py`` makes the tables); below 1 one step of the recurrence leads to ``x + 1``,
again for all elements alike.

Largest errors against 40-digit arithmetic, for x = exp(z) and x = 1 + exp(z) with z from -60 to 40 (the tests
hold them), of max(1, |value|), for trigamma of |value|::

                                             float32    float64
    digamma_remainder, x >= 1                1.2e-7     2.5e-16
    trigamma_remainder, x >= 1               1.2e-7     2.5e-16
    lgamma_remainder, x >= 1                 1.2e-7     2.5e-16
    digamma_remainder, trigamma_remainder    2.0e-7     4.0e-16
    lgamma_remainder                         2.5e-7     5.0e-16
    digamma, trigamma                        2.0e-7     4.0e-16
    lgamma                                   4.0e-7     8.0e-16
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from ednd_nmt.elementary import polynomial

HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)

SMALLEST_CONCENTRATION = 1e-30
"""Concentrations are kept above it, so that products with their reciprocals stay within float32."""

_SERIES: dict[str, dict[torch.dtype, tuple[float, ...]]] = {
    "digamma": {
        torch.float32: (
            0.4999999879298488, 0.08333641375014986, 0.08320598917733454, 0.07697605486828399,
            0.043569351762760236, 0.09540903607768125, -0.09994371766572041, 0.1255614704530066,
        ),
        torch.float64: (
            0.49999999999999994, 0.08333333333339223, 0.08333333332072802, 0.07500000106400126,
            0.05833328622456991, 0.03730284869853922, 0.019819067273852024, 0.013961280437745704,
            0.015686952043261104, 0.03387218994302566, -0.07078344767790741, 0.24398609536550567,
            -0.6630253972333653, 1.505041216088349, -2.379000731979223, 2.5285397890927754,
            -1.611318187935375, 0.48587044151252634,
        ),
    },
    "trigamma": {
        torch.float32: (
            0.5000000323468753, 0.16666031493514488, 0.16687180229267584, 0.13083413102082955,
            0.0811682232980816, -0.05173202014328509, 0.004816042175626042,
        ),
        torch.float64: (
            0.5, 0.1666666666666572, 0.16666666666914517, 0.13333333305260336, 0.06666668399329169,
            -0.009524462515648442, -0.04760288896718699, -0.009799965189522697, 0.07004329066524362,
            0.012195537875094345, 0.048950016231242705, -1.1606368264270752, 3.997217137960072,
            -7.506751197732748, 9.000805897556555, -6.958855558523671, 3.1971216182728686,
            -0.6679798705986206,
        ),
    },
    "lgamma": {
        torch.float32: (
            0.08333330479894475, 5.567470330732993e-06, -0.0029518142496414257, -0.003562205515503056,
            -0.018042304009844624, 0.018716196724276584, -0.03510905067597913,
        ),
        torch.float64: (
            0.08333333333333336, -2.6905334479982105e-14, -0.0027777777720047274, -0.0055555560450125585,
            -0.0075396607224457665, -0.007937097696316717, -0.006537103267105579, -0.004495578556995432,
            -0.0021570110935614653, -0.012093603360904141, 0.033241409787920194, -0.14327239319283538,
            0.4054045090807238, -0.8508573979432494, 1.245787795648675, -1.2424610663320814,
            0.7559289634948708, -0.21958295600461353,
        ),
    },
}  # fmt: skip


@functools.cache
def _coefficients(name: str, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, ...]:
    return tuple(torch.tensor(c, dtype=dtype, device=device) for c in _SERIES[name][dtype])


@functools.cache
def _coefficient_matrix(dtype: torch.dtype, device: torch.device) -> Tensor:
    """[coefficients, series]; only for a dtype in which all series have one length."""
    return torch.tensor([_SERIES[name][dtype] for name in _SERIES], dtype=dtype, device=device).t()


def _series(name: str, v: Tensor) -> Tensor:
    """The polynomial ``name`` at v = 1/(x + 1)."""
    if torch.compiler.is_compiling():  # numbers become part of the compiled code
        return polynomial(_SERIES[name][v.dtype], v)
    *rest, last, highest_tensor = _coefficients(name, v.dtype, v.device)
    value = torch.addcmul(last, v, highest_tensor)
    for tensor in reversed(rest):
        torch.addcmul(tensor, value, v, out=value)  # one pass where a product and a sum are two
    return value


def shifted_reciprocal(x: Tensor) -> Tensor:
    """v = 1/(x + 1), the argument of the series; the remainders of one ``x`` can share it."""
    return (x + 1).reciprocal_()


def digamma_remainder(x: Tensor, below_one: bool = True, v: Tensor | None = None) -> Tensor:
    """``x (ln x - psi(x))`` for positive ``x``; ``below_one=False`` promises ``x >= 1`` and is faster."""
    if not below_one:
        return _series("digamma", shifted_reciprocal(x) if v is None else v)
    return 1 - digamma_complement(x, v=v)


def digamma_complement(x: Tensor, below_one: bool = True, v: Tensor | None = None) -> Tensor:
    """``x (psi(x + 1) - ln x) = 1 - digamma_remainder(x)``, precise also at small ``x``, where it is nearly 0."""
    v = shifted_reciprocal(x) if v is None else v
    if not below_one:
        return 1 - _series("digamma", v)
    return x * torch.log1p(x.reciprocal()) - x * v * _series("digamma", shifted_reciprocal(x + 1))


def trigamma_remainder(x: Tensor, below_one: bool = True, v: Tensor | None = None) -> Tensor:
    """``x (x psi1(x) - 1)`` for positive ``x``; ``below_one=False`` promises ``x >= 1`` and is faster."""
    v = shifted_reciprocal(x) if v is None else v
    if not below_one:
        return _series("trigamma", v)
    return v + (x * v).square() * _series("trigamma", shifted_reciprocal(x + 1))


def lgamma_remainder(
    x: Tensor, below_one: bool = True, v: Tensor | None = None, u: Tensor | None = None
) -> Tensor:
    """``lnGamma(x) - [(x - 1/2) ln x - x + ln(2 pi)/2]`` for positive ``x``; ``below_one`` as above, ``u`` is 1/x."""
    v = shifted_reciprocal(x) if v is None else v
    if not below_one:
        series = _series("lgamma", v)
        return series.div_(x) if u is None else series.mul_(u)
    return v * _series("lgamma", shifted_reciprocal(x + 1)) + ((x + 0.5) * torch.log1p(x.reciprocal()) - 1)


def all_remainders(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The remainders of digamma, trigamma and lgamma at the totals [rows, 1] of a block, in few operations."""
    v = shifted_reciprocal(x)
    shifted = shifted_reciprocal(x + 1)
    if torch.compiler.is_compiling():
        h, q, r = (_series(name, shifted) for name in _SERIES)
    else:
        matrix = _coefficient_matrix(x.dtype, x.device)
        powers = shifted.pow(torch.arange(len(matrix), dtype=x.dtype, device=x.device))
        h, q, r = (powers @ matrix).unsqueeze(-2).unbind(-1)
    share = x * v  # the recurrence from x + 1 to x, as in the remainders above
    step = torch.log1p(x.reciprocal())
    return 1 - (x * step - share * h), v + share.square() * q, v * r + ((x + 0.5) * step - 1)


def digamma(x: Tensor) -> Tensor:
    """psi(x), the derivative of lnGamma, for positive ``x``, elementwise; errors in the table above.

    >>> digamma(torch.tensor([0.5, 1.0, 1e6]))
    tensor([-1.9635, -0.5772, 13.8155])
    """
    return torch.log(x) - digamma_remainder(x) / x


def trigamma(x: Tensor) -> Tensor:
    """psi1(x), the second derivative of lnGamma, for positive ``x``, elementwise; infinite where 1/x^2 overflows.

    >>> trigamma(torch.tensor([0.5, 1.0, 1e6]))
    tensor([4.9348e+00, 1.6449e+00, 1.0000e-06])
    """
    return (1 + trigamma_remainder(x) / x) / x


def lgamma(x: Tensor) -> Tensor:
    """lnGamma(x) for positive ``x``, elementwise; errors in the table above.

    >>> lgamma(torch.tensor([0.5, 1.0, 10.0]))  # doctest: +SKIP
    tensor([ 0.5724,  0.0000, 12.8018])
    """
    return (x - 0.5) * torch.log(x) - x + HALF_LOG_TWO_PI + lgamma_remainder(x)


def lgamma_exact(x: float) -> float:
    """lnGamma of one Python number; 0 stands in for the pole at 0 (an improper prior has no constant)."""
    return math.lgamma(x) if x > 0 else 0.0
