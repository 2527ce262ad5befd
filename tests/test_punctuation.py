"""Text with the punctuation of a plain keyboard."""

from pathlib import Path

import pytest

from ednd_nmt.model_folder import ModelFolder, Preparation
from ednd_nmt.punctuation import plain_punctuation
from ednd_nmt.text_preparation import TextPreparation


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("„Über“ »die« ‚Brücke‘", '"Über" "die" \'Brücke\''),
        ("a\u00a0b\u2009c\n\td", "a b c d"),
        ("Extras – Optionen… — x\u2010y", "Extras - Optionen... - x-y"),
        ("U\u0308ber\u00adgang\u200b", "Übergang"),
        ("  ``x'' ", '"x"'),
    ],
)
def test_punctuation_becomes_plain_and_stays_so(text: str, expected: str) -> None:
    assert plain_punctuation(text) == expected
    assert plain_punctuation(expected) == expected


@pytest.mark.parametrize("plain", [True, False])
def test_a_model_that_knows_plain_punctuation_alone_reads_no_other(tmp_path: Path, plain: bool) -> None:
    preparation = Preparation("en", "de", pieces=False, plain_punctuation=plain)
    text = TextPreparation(ModelFolder(tmp_path, tmp_path / "model.pt", preparation))
    assert (text.source_pieces("Click the “OK” button…") == 'Click the "OK" button...') is plain
    assert (text.target_pieces("Es geht’s – gut") == "Es geht's - gut") is plain
