"""What a line of the corpus may look like: the reasons for which a pair is dropped."""

from __future__ import annotations

import re
from collections import Counter

from .words import in_characters, in_words, words

MAX_WORDS = 100
MAX_TOKEN_CHARACTERS = 45
MIN_LETTER_SHARE = 0.65
MAX_WORD_RATIO = 2.0
MAX_WORD_RATIO_SHORT = 3.0  # where both sides have at most SHORT_WORDS words
SHORT_WORDS = 4
NEAR_IDENTICAL_OVERLAP = 0.75

_MARKUP = re.compile(
    r"</?[A-Za-z!][^>]*>|&#?\w+;"  # tags and entities
    r"|\{\{|\}\}|\$\[|\$\{|\$\(|\[\[|\{\d+\}"  # templates
    r"|\\[A-Za-z]|%[sdiu]\b|%\d+\b|%\(\w+\)|%[A-Z]{2,}"  # escapes and format specifiers
    r"|_{3,}|={3,}"  # rules and gaps
)
_ADDRESS = re.compile(r"\b[a-z]+://|\bwww\.|\bmailto:|\S+@\S+\.\w", re.IGNORECASE)

# Words that tell the languages apart: frequent in one, absent from the others.
_ENGLISH = """
    the of and to is are for that this with you be by from or it as not can if your which have has when where
    will been you'll they their there these those its into than then only such other
"""
_GERMAN = """
    der das und ist sind für mit sie ein eine einen einer eines dem den des auf nicht von zu zum zur wird
    werden
    oder im aus wenn auch bei nach als dass es ihre ihr ihren sich kann können wie dieser diese dieses nur
"""
_FRENCH = """
    le la les des et est une un pour dans vous que qui sur du au aux avec par pas ce cette sont ou votre vos
"""
FUNCTION_WORDS = {
    "en": frozenset(_ENGLISH.split()),
    "de": frozenset(_GERMAN.split()),
    "fr": frozenset(_FRENCH.split()),
}


def side_problem(text: str, language: str) -> str | None:
    """Why one normalised side cannot stand in the corpus, as the name of a count; None where it can."""
    tokens = in_words(text).split()
    if not tokens:
        return "empty"
    if len(tokens) > MAX_WORDS:
        return "too long"
    if _ADDRESS.search(text):
        return "address"
    if _MARKUP.search(text):
        return "markup"
    if max(map(len, tokens)) > MAX_TOKEN_CHARACTERS:
        return "long token"
    if sum(map(len, words(text))) < MIN_LETTER_SHARE * sum(map(len, tokens)):
        return "few letters"
    if is_wrong_language(text, language):
        return "language"
    return None


def is_wrong_language(text: str, language: str) -> bool:
    """Whether the function words are another language's: at least two, and more than of ``language`` itself.

    A language without a list of function words is never judged.
    """
    if language not in FUNCTION_WORDS:
        return False
    lowered = words(text.lower())
    hits = {code: sum(word in listed for word in lowered) for code, listed in FUNCTION_WORDS.items()}
    own = hits.pop(language)
    return max(hits.values()) >= 2 and max(hits.values()) > own


def pair_problem(source: str, target: str, source_language: str, target_language: str) -> str | None:
    """Why a normalised pair cannot stand in the corpus, as the name of a count; None where it can."""
    problem = side_problem(source, source_language) or side_problem(target, target_language)
    if problem:
        return problem
    lengths = len(in_words(source).split()), len(in_words(target).split())
    limit = MAX_WORD_RATIO_SHORT if max(lengths) <= SHORT_WORDS else MAX_WORD_RATIO
    if max(lengths) > limit * min(lengths):
        return "length ratio"
    if source.casefold() == target.casefold():
        return "identical"
    if word_overlap(source, target) >= NEAR_IDENTICAL_OVERLAP:
        return "nearly identical"
    return None


def word_overlap(first: str, second: str) -> float:
    """Dice coefficient of the two bags of lower-cased words; 0 where both have no word."""
    bags = [words(in_characters(text.lower())) for text in (first, second)]
    if not set(bags[0]) & set(bags[1]):
        return 0.0
    shared = Counter(bags[0]) & Counter(bags[1])
    return 2 * sum(shared.values()) / (len(bags[0]) + len(bags[1]))
