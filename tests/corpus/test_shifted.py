"""Shifted sets."""

from collections import Counter

import pytest

from scripts.corpus import shifted
from scripts.corpus.units import Segment

SEGMENTS = [
    Segment("d", "Choose Format - Cells, don't wait!", "Wählen Sie Format - Zellen."),
    Segment("d", "It is a well-known 'fact'.", "Das ist bekannt."),
]


def test_permuted_words_are_the_same_words_in_another_order_every_time() -> None:
    text = "one two three four five six"
    permuted = shifted.permute_words(text)
    assert permuted != text
    assert Counter(permuted.split()) == Counter(text.split())
    assert permuted == shifted.permute_words(text) == "five six one four two three"


@pytest.mark.parametrize("text", ["", "one", "same same same"])
def test_text_without_another_order_stays(text: str) -> None:
    assert shifted.permute_words(text) == text


def test_spoken_style() -> None:
    spoken = shifted.spoken(SEGMENTS)
    assert spoken.sources == ["choose format cells don't wait", "it is a well-known fact"]
    assert spoken.references == [segment.target for segment in SEGMENTS]


def test_wrong_language_has_no_reference() -> None:
    wrong = shifted.target_as_source(SEGMENTS)
    assert wrong.sources == ["Wählen Sie Format - Zellen.", "Das ist bekannt."]
    assert wrong.references is None
