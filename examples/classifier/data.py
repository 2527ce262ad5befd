"""Images of numbers: scikit-learn's handwritten digits, one or several side by side, so that K is a power of ten."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Generator, Tensor


@dataclass(frozen=True)
class Digits:
    """Handwritten digits: ``images`` [n, 8, 8] between 0 and 1, ``labels`` [n] from 0 to 9."""

    images: Tensor
    labels: Tensor


def split_digits(training: int, seed: int) -> tuple[Digits, Digits]:
    """All digits in random order: the first ``training`` ones, and the others."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    pixels = torch.from_numpy(images[order].reshape(-1, 8, 8) / 16).float()
    numbers = torch.from_numpy(labels[order]).long()
    return (
        Digits(pixels[:training], numbers[:training]),
        Digits(pixels[training:], numbers[training:]),
    )


def draw_numbers(digits: Digits, length: int, size: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """``size`` numbers of ``length`` digits that are drawn at random.

    Returns:
        Their pixels [size, 64 length], digit after digit, and their values [size] below K = 10^length.
    """
    chosen = torch.randint(len(digits.labels), (size, length), generator=generator)
    places = 10 ** torch.arange(length - 1, -1, -1)
    return digits.images[chosen].flatten(1), (digits.labels[chosen] * places).sum(-1)


def _rotated(images: Tensor) -> Tensor:
    return images.rot90(dims=(1, 2))


def _inverted(images: Tensor) -> Tensor:
    return 1 - images


SHIFTS: Mapping[str, Callable[[Tensor], Tensor]] = {"rotated": _rotated, "inverted": _inverted}
"""What makes digits foreign to the classifiers: every digit turned by 90 degrees, or white and black exchanged."""


def shifted_digits(digits: Digits, shift: str) -> Digits:
    return replace(digits, images=SHIFTS[shift](digits.images))
