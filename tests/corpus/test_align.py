"""Sentence alignment inside a block."""

from scripts.corpus.align import align_block, align_lengths


def test_equal_counts_are_paired_in_order() -> None:
    assert align_block("One is here. Two is there.", "Eins ist hier. Zwei ist dort.") == [
        ("One is here.", "Eins ist hier."),
        ("Two is there.", "Zwei ist dort."),
    ]


def test_two_sentences_translated_as_one_are_merged() -> None:
    source = "Open the menu of the window. Click on the entry to see all of its settings. Close it."
    target = (
        "Öffnen Sie das Menü des Fensters und klicken Sie auf den Eintrag mit den Einstellungen. Schließen."
    )
    assert align_block(source, target) == [
        (
            "Open the menu of the window. Click on the entry to see all of its settings.",
            "Öffnen Sie das Menü des Fensters und klicken Sie auf den Eintrag mit den Einstellungen.",
        ),
        ("Close it.", "Schließen."),
    ]


def test_no_sentence_is_dropped_or_repeated() -> None:
    aligned = align_lengths([40, 20, 30, 55], [62, 28, 30, 25])
    assert aligned is not None
    for side, count in ((0, 4), (1, 4)):
        covered = [number for step in aligned for number in range(*step[side])]
        assert covered == list(range(count))


def test_a_block_that_does_not_fit_stays_whole() -> None:
    assert align_lengths([100, 5, 5, 5, 5, 5, 5, 5], [10]) is None
    source = "A. " + "This is a long sentence that has no match. " * 4
    assert align_block(source.strip(), "Kurz.") == [(source.strip(), "Kurz.")]
