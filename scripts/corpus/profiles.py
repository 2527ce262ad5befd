"""What each profile is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from .split import Sizes


@dataclasses.dataclass(frozen=True)
class Profile:
    """Sources of the training text with what is held out of each, and the shifted sets.

    ``shifted_sources`` maps the name of a shifted set to the source it is from; ``derived`` sets are made of
    the test set. ``extra_suites`` are releases whose translation lists add package descriptions.
    """

    name: str
    sources: tuple[str, ...]
    sizes: Mapping[str, Sizes]
    shifted_sources: Mapping[str, str]
    derived: tuple[str, ...]
    shifted_size: int
    french: bool = False
    extra_suites: tuple[str, ...] = ()


PROFILES = {
    "quick": Profile(
        name="quick",
        sources=("lohelp",),
        sizes={"lohelp": Sizes(valid=1200, test=1500)},
        shifted_sources={"descriptions": "ddtp", "ding": "ding"},
        derived=("german", "permuted"),
        shifted_size=1500,
    ),
    "full": Profile(
        name="full",
        sources=("ddtp", "man", "lohelp", "gnome", "docs"),
        sizes={
            "ddtp": Sizes(valid=700, test=1000),
            "man": Sizes(valid=700, test=1000),
            "lohelp": Sizes(valid=700, test=1000),
            "gnome": Sizes(valid=200, test=0),
        },
        shifted_sources={"handbook": "handbook", "ding": "ding", "wesnoth": "wesnoth"},
        derived=("german", "permuted", "spoken"),
        shifted_size=3000,
        french=True,
        extra_suites=("bullseye", "bookworm", "trixie"),
    ),
}
