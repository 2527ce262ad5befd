"""What counts as a word, in scripts that separate words by blanks and in those that do not.

Chinese, Japanese, Thai, Lao, Tibetan, Burmese and Khmer have no blanks between words, and the vowel signs of Hindi are
combining marks, which belong to the letter before them. Text with neither is not touched by any of this.
"""

from __future__ import annotations

import re
import unicodedata

_PLANES = range(0x300, 0x20000)  # from the first combining mark on; beyond are ideographs
_MARK = "[" + "".join(mark for mark in map(chr, _PLANES) if unicodedata.category(mark)[0] == "M") + "]"
_MAY_NEED_CARE = re.compile("[\u0300-\U0010ffff]")  # found fast, and seldom there in most European text
# A word has about two ideographs, or four of the other letters (their marks are none).
_IDEOGRAPH = "[\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
_UNSEPARATED = (  # Thai and Lao, Tibetan, Burmese, Khmer, kana
    "[\u0e01-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9f]"
)
_PUNCTUATION = r"[^\w\s]*"  # stays with the word before it, as where there are blanks
_WORD_LONG = re.compile(
    f"(?:(?:{_IDEOGRAPH}{_MARK}*){{1,2}}|(?:{_UNSEPARATED}{_MARK}*){{1,4}}){_PUNCTUATION}"
)
_CHARACTER = re.compile(f"(?:{_IDEOGRAPH}|{_UNSEPARATED}){_MARK}*{_PUNCTUATION}")
_LETTERS = re.compile(r"[^\W\d_]+")
_LETTERS_AND_MARKS = re.compile(rf"[^\W\d_]+(?:{_MARK}+[^\W\d_]*)*")
_ALPHANUMERICS = re.compile(r"\w+")
_ALPHANUMERICS_AND_MARKS = re.compile(rf"\w+(?:{_MARK}+\w*)*")


def words(text: str) -> list[str]:
    """Letters in a row, with their marks."""
    return (_LETTERS_AND_MARKS if _MAY_NEED_CARE.search(text) else _LETTERS).findall(text)


def words_and_numbers(text: str) -> list[str]:
    """The same, with digits and underscores among the letters."""
    return (_ALPHANUMERICS_AND_MARKS if _MAY_NEED_CARE.search(text) else _ALPHANUMERICS).findall(text)


def in_words(text: str) -> str:
    """``text`` with blanks put in where its script has none, so that it has about as many parts as words."""
    return _WORD_LONG.sub(r" \g<0> ", text) if _MAY_NEED_CARE.search(text) else text


def in_characters(text: str) -> str:
    """``text`` with blanks put around each character of a script without blanks, since nobody knows where words end."""
    return _CHARACTER.sub(r" \g<0> ", text) if _MAY_NEED_CARE.search(text) else text
