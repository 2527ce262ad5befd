"""Sentence boundaries in documentation."""

import pytest

from scripts.corpus.sentences import split_sentences


@pytest.mark.parametrize(
    "sentences",
    [
        ["Click OK.", "The dialog closes."],
        ["Is it open?", "Close it!", "Then go on."],
        ['He said "Stop."', "She went."],
        ["Use a file, e.g. README or a list, etc. See below."],
        ["Verwenden Sie z.B. Farben.", "Siehe Nr. 3 unten."],
        ["Am 3. Oktober ist frei.", "Danach nicht."],
        ["See J. Smith for 2.5 mm. of text."],
        ["It is from 1998.", "Later versions exist."],
        ["see libc.so.6 and foo.conf for more"],
        ["Wählen Sie Datei - Drucken... und klicken Sie."],
        ["(See also above.)", '"Quoted" starts here.'],
        ["one"],
    ],
)
def test_split(sentences: list[str]) -> None:
    assert split_sentences(" ".join(sentences)) == sentences


def test_nothing_in_nothing_out() -> None:
    assert split_sentences("") == []
