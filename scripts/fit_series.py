"""Print the coefficient tables of ``ednd_nmt``: Chebyshev fits in 40-digit arithmetic (needs mpmath).

The three remainders of the gamma function's logarithm and its derivatives (see ``ednd_nmt/special.py``) are
smooth functions of ``v = 1 / (x + 1)`` for ``x >= 1``, that is on ``0 <= v <= 1/2``; those of exponential and logarithm
(``ednd_nmt/elementary.py``) are smooth around 0. Each is interpolated at Chebyshev nodes and rewritten in powers of its
argument; the largest error found on a fine grid is printed beside the table.
"""

from __future__ import annotations

from collections.abc import Callable

from mpmath import mp, mpf

Function = Callable[[mpf], mpf]
DEGREES = {
    "float32": {"digamma": 7, "trigamma": 6, "lgamma": 6},
    "float64": dict.fromkeys(("digamma", "trigamma", "lgamma"), 17),
}
REDUCED_DEGREES = {"exp": 4, "log": 7}
FAR = mpf(10) ** 12  # beyond it the first terms of the asymptotic series are exact to all the digits we keep
NEAR = mpf(10) ** -8  # and within it, those of the series around 0


def digamma_remainder(x: mpf) -> mpf:
    return x * (mp.log(x) - mp.digamma(x)) if x < FAR else mpf(1) / 2 + 1 / (12 * x)


def trigamma_remainder(x: mpf) -> mpf:
    return x * (x * mp.psi(1, x) - 1) if x < FAR else mpf(1) / 2 + 1 / (6 * x)


def lgamma_remainder(x: mpf) -> mpf:
    if x >= FAR:
        return mpf(1) / 12
    return x * (mp.loggamma(x) - (x - mpf(1) / 2) * mp.log(x) + x - mp.log(2 * mp.pi) / 2)


def of_shifted_reciprocal(function: Function) -> Function:
    """The same function of v = 1 / (x + 1)."""
    return lambda v: function(1 / v - 1)


def exp_remainder(r: mpf) -> mpf:
    return (mp.expm1(r) - r) / r**2 if abs(r) > NEAR else mpf(1) / 2 + r / 6


def log_remainder(m: mpf) -> mpf:
    return (mp.log1p(m) - m + m**2 / 2) / m**3 if abs(m) > NEAR else mpf(1) / 3 - m / 4


def fit(function: Function, degree: int, low: mpf, high: mpf) -> list[mpf]:
    """Coefficients, lowest power first, of the polynomial through the Chebyshev nodes of ``low <= v <= high``."""
    nodes = [
        (low + high + (high - low) * mp.cos(mp.pi * (k + mpf(1) / 2) / (degree + 1))) / 2
        for k in range(degree + 1)
    ]
    matrix = mp.matrix([[v**power for power in range(degree + 1)] for v in nodes])
    values = mp.matrix([function(v) for v in nodes])
    return list(mp.lu_solve(matrix, values))


def print_fit(name: str, function: Function, degree: int, low: mpf, high: mpf) -> None:
    coefficients = fit(function, degree, low, high)
    grid = [low + (high - low) * i / 1000 for i in range(1, 1001)]
    error = max(abs(function(v) - mp.polyval(coefficients[::-1], v)) for v in grid)
    print(f"# {name}: largest error {mp.nstr(error, 2)}")
    print("(" + ", ".join(repr(float(c)) for c in coefficients) + ")")


def main() -> None:
    mp.dps = 40
    functions = {"digamma": digamma_remainder, "trigamma": trigamma_remainder, "lgamma": lgamma_remainder}
    for dtype, degrees in DEGREES.items():
        for name, function in functions.items():
            of_v = of_shifted_reciprocal(function)
            print_fit(f"{dtype} {name}", of_v, degrees[name], mpf(0), mpf(1) / 2)
    half = mp.log(2) / 2
    print_fit("float32 exp", exp_remainder, REDUCED_DEGREES["exp"], -half, half)
    root = mp.sqrt(2)
    print_fit("float32 log", log_remainder, REDUCED_DEGREES["log"], 1 / root - 1, root - 1)


if __name__ == "__main__":
    main()
