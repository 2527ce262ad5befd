"""Checks shared by every measure of evaluation: equal lengths, no NaN, at least one value."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ednd_nmt.errors import UserError

Vector = npt.NDArray[np.float64]


def finite_vector(values: npt.ArrayLike, name: str) -> Vector:
    """``values`` as a float64 vector ``[n]`` with n >= 1 and only finite entries.

    Raises:
        UserError: not one-dimensional, empty, or holding NaN or infinity; the message names the first such
            entry.
    """
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1:
        raise UserError(f"{name} must be one value per sentence, not an array of shape {vector.shape}.")
    if vector.size == 0:
        raise UserError(f"{name} has no values; at least one sentence is needed.")
    finite = np.isfinite(vector)
    if not finite.all():
        index = int(np.argmin(finite))
        raise UserError(
            f"{name} holds {vector[index]} at position {index}; leave that sentence out or mend it."
        )
    return vector


def paired_vectors(
    first: npt.ArrayLike, second: npt.ArrayLike, names: tuple[str, str] = ("error", "uncertainty")
) -> tuple[Vector, Vector]:
    """Two finite vectors of the same length.

    Raises:
        UserError: as :func:`finite_vector`, or the lengths differ.
    """
    a, b = finite_vector(first, names[0]), finite_vector(second, names[1])
    if a.size != b.size:
        raise UserError(
            f"{names[0]} has {a.size} values but {names[1]} has {b.size}; both need one per sentence."
        )
    return a, b
