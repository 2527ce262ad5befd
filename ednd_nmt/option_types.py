"""Types for argparse that refuse what makes no sense."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def at_least(minimum: int) -> Callable[[str], int]:
    """Whole numbers from ``minimum`` on."""

    def whole_number(text: str) -> int:
        number = int(text)
        if number < minimum:
            raise argparse.ArgumentTypeError(f"give at least {minimum}, not {number}")
        return number

    return whole_number
