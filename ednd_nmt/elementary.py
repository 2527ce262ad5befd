"""Exponential and logarithm for compiled bodies.

On a CPU a compiled loop calls a library function for every eight or sixteen elements, around which all registers are
saved; that costs more than the objective's special functions together. In float32 the two functions are therefore
polynomials here, which the compiler puts into the loop. Everywhere else they are PyTorch's own.

Largest relative errors against 40-digit arithmetic (the tests hold them): ``exp`` 1.2e-7 from -87 to 88, ``log_`` 1.2e-7
for normal numbers, also near 1, where the logarithm is nearly 0. ``scripts/fit_series.py`` makes the tables.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

_EXP_RANGE = (-87.0, 88.0)  # where the result is a normal float32 number
_EXP_SERIES = (
    0.5, 0.1666657702559799, 0.041666554662050534, 0.008363173074513711,
    0.001392617611993558,
)  # fmt: skip
_LOG_SERIES = (
    0.33333330728190674, -0.25000306422569796, 0.2000104509416068, -0.16641281463106394,
    0.14214495923947962, -0.1299818376365153, 0.12622319849228378, -0.0790274377239344,
)  # fmt: skip
# ln 2 in two parts: the first has few digits, so that its product with an exponent is exact.
_LN2_HIGH, _LN2_LOW = 355 / 512, math.log(2) - 355 / 512
_MANTISSA_BITS, _EXPONENT_BIAS = 23, 127
_BITS_OF_ROOT_HALF = 0x3F3504F3


def _inlined(x: Tensor) -> bool:
    return torch.compiler.is_compiling() and x.device.type == "cpu" and x.dtype == torch.float32


def exp(x: Tensor, largest: float = math.inf) -> Tensor:
    """exp(min(x, largest)); compiled in float32 on a CPU arguments below -87 and above 88 count as these."""
    if not _inlined(x):
        return x.exp() if largest == math.inf else x.clamp(max=largest).exp_()
    x = x.clamp(_EXP_RANGE[0], min(_EXP_RANGE[1], largest))
    exponent = (x * (1 / math.log(2))).round()
    r = (x - exponent * _LN2_HIGH) - exponent * _LN2_LOW  # at most ln(2)/2
    value = polynomial(_EXP_SERIES, r) * (r * r) + r + 1
    return value * ((exponent.to(torch.int32) + _EXPONENT_BIAS) << _MANTISSA_BITS).view(torch.float32)


def log_(x: Tensor) -> Tensor:
    """ln(x) of positive x, perhaps in x's own memory; compiled in float32 on a CPU, smaller than normal counts as normal."""
    if not _inlined(x):
        return x.log_()
    bits = x.clamp(min=torch.finfo(x.dtype).tiny).view(torch.int32)
    exponent = (bits - _BITS_OF_ROOT_HALF) >> _MANTISSA_BITS
    m = (bits - (exponent << _MANTISSA_BITS)).view(torch.float32) - 1  # from sqrt(1/2) - 1 to sqrt(2) - 1
    square, exponent = m * m, exponent.to(torch.float32)
    small = polynomial(_LOG_SERIES, m) * (m * square) + exponent * _LN2_LOW - 0.5 * square
    return torch.where(x == x, small + m + exponent * _LN2_HIGH, x)  # NaN stays NaN


def polynomial(coefficients: Sequence[float], x: Tensor) -> Tensor:
    """sum_i coefficients_i x^i by Estrin's scheme: half of the work does not wait for the other half, as in Horner's."""
    terms: list[float | Tensor] = list(coefficients)
    while len(terms) > 1:
        pairs = [low + high * x for low, high in zip(terms[::2], terms[1::2], strict=False)]
        terms = [*pairs, terms[-1]] if len(terms) % 2 else list(pairs)
        x = x * x
    return cast(Tensor, terms[0])
