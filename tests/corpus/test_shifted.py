"""Shifted sets."""

from ednd_nmt.evaluation.shift import as_spoken
from scripts.corpus import shifted
from scripts.corpus.units import Segment

SEGMENTS = [
    Segment("d", "Choose Format - Cells, don't wait!", "Wählen Sie Format - Zellen."),
    Segment("d", "It is a well-known 'fact'.", "Das ist bekannt."),
]


def test_permuted_words_keep_their_references() -> None:
    permuted = shifted.permuted(SEGMENTS)
    assert [sorted(source.split()) for source in permuted.sources] == [
        sorted(segment.source.split()) for segment in SEGMENTS
    ]
    assert permuted.references == [segment.target for segment in SEGMENTS]


def test_spoken_style_keeps_its_references() -> None:
    spoken = shifted.spoken(SEGMENTS)
    assert spoken.sources == [as_spoken(segment.source) for segment in SEGMENTS]
    assert spoken.references == [segment.target for segment in SEGMENTS]


def test_wrong_language_has_no_reference() -> None:
    wrong = shifted.target_as_source(SEGMENTS)
    assert wrong.sources == ["Wählen Sie Format - Zellen.", "Das ist bekannt."]
    assert wrong.references is None
