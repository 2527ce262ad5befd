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


PARTS: Mapping[str, int | None] = {"labelled": 300, "unlabelled": 800, "validation": 300, "test": None}
"""How many digits are for the members, for the students, for choosing learning rates, and (the rest) for the figures.

Members that are asked about the very digits that they have learnt by heart do not disagree, and there would be nothing
to distil: the students have digits of their own.
"""


def split_digits(seed: int) -> dict[str, Digits]:
    """All digits in random order, cut into ``PARTS``."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    pixels = torch.from_numpy(images[order].reshape(-1, 8, 8) / 16).float()
    numbers = torch.from_numpy(labels[order]).long()
    parts, begin = {}, 0
    for name, size in PARTS.items():
        end = len(labels) if size is None else begin + size
        parts[name] = Digits(pixels[begin:end], numbers[begin:end])
        begin = end
    return parts


def draw_numbers(digits: Digits, length: int, size: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """``size`` numbers of ``length`` digits that are drawn at random.

    Returns:
        Their pixels [size, 64 length], digit after digit, and their values [size] below K = 10^length.
    """
    chosen = torch.randint(len(digits.labels), (size, length), generator=generator)
    places = 10 ** torch.arange(length - 1, -1, -1)
    return digits.images[chosen].flatten(1), (digits.labels[chosen] * places).sum(-1)


def _blended(images: Tensor, generator: Generator) -> Tensor:
    others = torch.randperm(len(images), generator=generator)
    return (images + images[others]) / 2


def _shuffled(images: Tensor, generator: Generator) -> Tensor:
    order = torch.rand(len(images), 64, generator=generator).argsort(-1)
    return images.flatten(1).gather(-1, order).reshape(images.shape)


def _noisy(images: Tensor, generator: Generator) -> Tensor:
    return images + 0.3 * torch.randn(images.shape, generator=generator)


SHIFTS: Mapping[str, Callable[[Tensor, Generator], Tensor]] = {
    "blended": _blended,
    "shuffled": _shuffled,
    "noisy": _noisy,
}
"""What makes digits foreign to the classifiers: the mean of two of them, the 64 pixels of each in an order of its own,
normal noise of standard deviation 0.3."""


def shifted_digits(digits: Digits, shift: str, generator: Generator) -> Digits:
    return replace(digits, images=SHIFTS[shift](digits.images, generator))
