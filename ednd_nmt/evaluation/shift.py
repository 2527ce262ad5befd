"""Shifted input made from a test set: text that a model trained on the like of it should be less sure about.

Every function takes one line and gives one line that depends on nothing else, so that the same test set gives
the same shifted sets on every machine, and line n of a shifted set belongs to line n of the test set.
"""

from __future__ import annotations

import hashlib
import random
import unicodedata

from ednd_nmt.errors import UserError
from ednd_nmt.evaluation.words import word_groups

_INSIDE_WORDS = "'-"
_APOSTROPHE = "’"  # of typography
_KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def permute_words(text: str) -> str:
    """The words of ``text`` in another order (if there is one); segmented words keep their pieces together.

    Words are what stands between blanks, so that text without blanks stays as it is.
    """
    pieces = text.split()
    return _permuted(text, [" ".join(pieces[i] for i in group) for group in word_groups(pieces)])


def permute_pieces(text: str) -> str:
    """The pieces of segmented ``text``, separated by spaces, in another order (if there is one)."""
    return _permuted(text, text.split())


def as_spoken(text: str) -> str:
    """The style of a speech recogniser: lower case, no punctuation but hyphens and apostrophes inside words.

    Characters are composed (NFC), apostrophes are those of a keyboard. Punctuation and symbols are Unicode's categories; the
    underscore, which is part of names, stays.
    """
    text = unicodedata.normalize("NFC", text.replace(_APOSTROPHE, "'").lower())
    of_words = [False]  # with an entry for either end of the text
    for character in text:
        of_words.append(_is_of_word(character, of_words[-1]))
    of_words.append(False)
    spoken = [
        character if own or (character in _INSIDE_WORDS and before and after) else " "
        for character, before, own, after in zip(text, of_words, of_words[1:], of_words[2:], strict=False)
    ]
    return " ".join("".join(spoken).split())


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


def _is_of_word(character: str, follows_word: bool) -> bool:
    """Whether a character is a word's; a mark or a joiner is if what it follows is."""
    category = unicodedata.category(character)
    if category[0] == "M" or category == "Cf":
        return follows_word
    return character == "_" or not (character.isspace() or category[0] in "PS" or category == "Cc")


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
