"""Print the coefficient tables of ``ednd_nmt/special.py``: Chebyshev fits in 40-digit arithmetic (needs mpmath).

The three remainders of the gamma function's logarithm and its derivatives (see ``ednd_nmt/special.py``) are
smooth functions of ``v = 1 / (x + 1)`` for ``x >= 1``, that is on ``0 <= v <= 1/2``. Each is interpolated at
Chebyshev nodes and rewritten in powers of ``v``; the largest error found on a fine grid is printed beside the
table.
"""

from __future__ import annotations

from collections.abc import Callable

from mpmath import mp, mpf

Function = Callable[[mpf], mpf]
DEGREES = {
    "float32": {"digamma": 7, "trigamma": 6, "lgamma": 6},
    "float64": dict.fromkeys(("digamma", "trigamma", "lgamma"), 17),
}
FAR = mpf(10) ** 12  # beyond it the first terms of the asymptotic series are exact to all the digits we keep


def digamma_remainder(x: mpf) -> mpf:
    return x * (mp.log(x) - mp.digamma(x)) if x < FAR else mpf(1) / 2 + 1 / (12 * x)


def trigamma_remainder(x: mpf) -> mpf:
    return x * (x * mp.psi(1, x) - 1) if x < FAR else mpf(1) / 2 + 1 / (6 * x)


def lgamma_remainder(x: mpf) -> mpf:
    if x >= FAR:
        return mpf(1) / 12
    return x * (mp.loggamma(x) - (x - mpf(1) / 2) * mp.log(x) + x - mp.log(2 * mp.pi) / 2)


def fit(function: Function, degree: int) -> list[mpf]:
    """Coefficients, lowest power first, of the polynomial through the Chebyshev nodes of ``0 <= v <= 1/2``."""
    nodes = [(1 + mp.cos(mp.pi * (k + mpf(1) / 2) / (degree + 1))) / 4 for k in range(degree + 1)]
    matrix = mp.matrix([[v**power for power in range(degree + 1)] for v in nodes])
    values = mp.matrix([function(1 / v - 1) for v in nodes])
    return list(mp.lu_solve(matrix, values))


def largest_error(function: Function, coefficients: list[mpf]) -> mpf:
    grid = [mpf(i) / 2000 for i in range(1, 1001)]
    return max(abs(function(1 / v - 1) - mp.polyval(coefficients[::-1], v)) for v in grid)


def main() -> None:
    mp.dps = 40
    functions = {"digamma": digamma_remainder, "trigamma": trigamma_remainder, "lgamma": lgamma_remainder}
    for dtype, degrees in DEGREES.items():
        for name, function in functions.items():
            coefficients = fit(function, degrees[name])
            print(f"# {dtype} {name}: largest error {mp.nstr(largest_error(function, coefficients), 2)}")
            print("(" + ", ".join(repr(float(c)) for c in coefficients) + ")")


if __name__ == "__main__":
    main()
