"""Values that change while a model is trained, as functions of the number of updates alone."""

from __future__ import annotations


def annealed(start: float, end: float, updates: int, done: int) -> float:
    """The value on the straight line from ``start`` before the first update to ``end`` after ``updates`` of them.

    A training that is resumed goes on where it was, since nothing but the number of updates ``done`` matters.

    >>> [annealed(5.0, 1.0, 4, done) for done in (0, 1, 4, 100)]
    [5.0, 4.0, 1.0, 1.0]
    """
    remaining = max(0.0, 1 - done / updates) if updates > 0 else 0.0
    return end + (start - end) * remaining
