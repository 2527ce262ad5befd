"""Shifted input made from a test set: text that a model trained on the like of it should be less sure about.

Every function takes one line and gives one line that depends on nothing else, so that the same test set gives
the same shifted sets on every machine, and line n of a shifted set belongs to line n of the test set.
"""

from __future__ import annotations

import hashlib
import random
import re

from ednd_nmt.errors import UserError
from ednd_nmt.evaluation.words import word_groups

_NOT_SPOKEN = re.compile(r"[^\w\s'-]|(?<!\w)['-]|['-](?!\w)")
_KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def permute_words(text: str) -> str:
    """The words of ``text`` in another order (if there is one); segmented words keep their pieces together."""
    pieces = text.split()
    return _permuted(text, [" ".join(pieces[i] for i in group) for group in word_groups(pieces)])


def permute_pieces(text: str) -> str:
    """The pieces of segmented ``text``, separated by spaces, in another order (if there is one)."""
    return _permuted(text, text.split())


def as_spoken(text: str) -> str:
    """The style of a speech recogniser: lower case, no punctuation but hyphens and apostrophes inside words."""
    return " ".join(_NOT_SPOKEN.sub(" ", text.lower()).split())


def with_typos(text: str, rate: float) -> str:
    """``text`` as if typed in a hurry: each letter is mistyped with probability ``rate``.

    A mistyped letter is left out, typed twice, exchanged with the letter after it, or replaced by its neighbour
    on an English keyboard, each as likely (letters that have no such neighbours: the first three).

    Raises:
        UserError: a rate that is not between 0 and 1.
    """
    if not 0.0 <= rate <= 1.0:
        raise UserError(f"The rate of typing errors must be between 0 and 1, not {rate}.")
    generator = _generator(text)
    typed: list[str] = []
    place = 0
    while place < len(text):
        letter, following = text[place], text[place + 1 : place + 2]
        replacement, used = letter, 1
        if letter.isalpha() and generator.random() < rate:
            variants = [("", 1), (letter * 2, 1)]
            if following.isalpha() and following != letter:
                variants.append((following + letter, 2))
            if neighbours := _neighbours(letter):
                variants.append((generator.choice(neighbours), 1))
            replacement, used = generator.choice(variants)
        typed.append(replacement)
        place += used
    result = "".join(typed)
    return result if result.strip() else text


def _permuted(text: str, parts: list[str]) -> str:
    if len(set(parts)) < 2:
        return text
    generator = _generator(text)
    order = list(parts)
    while order == parts:
        generator.shuffle(order)
    return " ".join(order)


def _neighbours(letter: str) -> str:
    """The letters left and right of ``letter`` on the keyboard, in its own case."""
    for row in _KEYBOARD:
        place = row.find(letter.lower())
        if place >= 0:
            found = row[max(0, place - 1) : place] + row[place + 1 : place + 2]
            return found.upper() if letter.isupper() else found
    return ""


def _generator(text: str) -> random.Random:
    return random.Random(hashlib.sha256(text.encode()).digest())
