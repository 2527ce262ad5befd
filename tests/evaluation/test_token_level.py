"""Labels of wrong tokens and the detection of them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from ednd_nmt.errors import UserError
from ednd_nmt.evaluation.bootstrap import point
from ednd_nmt.evaluation.columns import read_columns
from ednd_nmt.evaluation.evaluate import Key, Settings, evaluate
from ednd_nmt.evaluation.token_level import (
    TokenDetection,
    edit_labels,
    read_tokens,
    read_word_labels,
    token_labels,
)
from ednd_nmt.evaluation.words import spelled, word_groups, words_of_pieces
from ednd_nmt.record_reader import read_records
from ednd_nmt.records import Header, Hypothesis, Sentence, header_to_json, sentence_to_json

WORDS = st.lists(st.sampled_from("abc"), max_size=5)


def longest_common_by_edits(hypothesis: Sequence[str], reference: Sequence[str]) -> int:
    """Edit distance by trying every monotone matching of positions."""
    n, m = len(hypothesis), len(reference)
    best = n + m
    for size in range(min(n, m) + 1):
        for ours in itertools.combinations(range(n), size):
            for theirs in itertools.combinations(range(m), size):
                replaced = sum(hypothesis[i] != reference[j] for i, j in zip(ours, theirs, strict=True))
                best = min(best, replaced + (n - size) + (m - size))
    return best


@given(WORDS, WORDS)
@settings(deadline=None, max_examples=60)
def test_right_words_are_a_common_subsequence_of_cheapest_edits(
    hypothesis: list[str], reference: list[str]
) -> None:
    labels = edit_labels(hypothesis, reference)
    kept = [word for word, wrong in zip(hypothesis, labels, strict=True) if not wrong]
    remaining = iter(reference)
    assert all(word in remaining for word in kept)  # in this order within the reference
    distance = longest_common_by_edits(hypothesis, reference)
    # Keeping k words leaves at least max(n, m) - k edits; the cheapest edits cannot keep more than that allows.
    assert max(len(hypothesis), len(reference)) - len(kept) <= distance


def test_labels_by_hand() -> None:
    assert edit_labels(["das", "ist", "ein", "Haus"], ["das", "ist", "kein", "Haus"]) == [
        False,
        False,
        True,
        False,
    ]
    assert edit_labels(["das", "das", "ist"], ["das", "ist"]) == [True, False, False]
    assert edit_labels([], ["a"]) == []
    assert edit_labels(["a"], []) == [True]


@pytest.mark.parametrize(
    ("text", "tokens", "reference", "wrong"),
    [
        ("Hello, world!", "Hel@@ lo , world !", "Hello, world!", [False] * 5),
        ("Hello, world!", "▁Hel lo ▁, ▁world ▁!", "Hello, world!", [False] * 5),  # sentencepiece after Moses
        ("Hello, world!", "Hel@@ lo , world !", "Hello world!", [True] * 3 + [False] * 2),
        (
            "it's a well-known",
            "it &apos;s a well @-@ known",
            "it's no well-known",
            [False] * 2 + [True] + [False] * 3,
        ),
        ("Das Hau ⁇ ist", "▁Das ▁Hau <unk> ▁ist", "Das Haus ist", [False, True, True, False]),
        ("im Haus", "▁im ▁ Haus ▁", "im Haus", [False] * 3 + [True]),  # the last blank is of no word
        ("im Haus", "▁im▁Ha us", "am Haus", [True, False]),
        ("", "▁", "Haus", [True]),
        ("红苹果", "▁红 苹果", "青苹果", [True, True]),
    ],
)
def test_pieces_have_the_labels_of_the_texts_words(
    text: str, tokens: str, reference: str, wrong: list[bool]
) -> None:
    hypothesis = Hypothesis(text, (*tokens.split(), "</s>"), -1.0, -1.0, {}, {})
    record = Sentence(0, "", (hypothesis,), {}, reference)
    for language in (None, "de", "th"):  # cut at blanks
        assert token_labels(record, None, "x", language) == [*wrong, None]


@pytest.mark.parametrize(
    ("text", "tokens", "reference", "wrong"),
    [
        ("我喜欢红苹果。", "▁我 喜欢 红 苹果 。", "我喜欢青苹果。", [False, False, True, False, False]),
        (
            "我喜欢红苹果。",
            "我@@ 喜@@ 欢@@ 红@@ 苹@@ 果@@ 。",
            "我喜欢苹果。",
            [False] * 3 + [True] + [False] * 3,
        ),
        ("红苹果", "▁红苹 果", "青苹果", [True, False]),  # a piece is wrong if one of its characters is
        ("买iPhone 12吧", "▁买 i Phone ▁12 吧", "买iPhone 13吧", [False] * 3 + [True, False]),
    ],
)
@pytest.mark.parametrize("language", ["zh", "zh_CN"])
def test_words_of_chinese_are_those_of_sacrebleus_tokeniser(
    text: str, tokens: str, reference: str, wrong: list[bool], language: str
) -> None:
    hypothesis = Hypothesis(text, (*tokens.split(), "</s>"), -1.0, -1.0, {}, {})
    record = Sentence(0, "", (hypothesis,), {}, reference)
    assert token_labels(record, None, "x", language) == [*wrong, None]


@given(
    st.lists(st.tuples(st.sampled_from(["ab", "abc", ",", "x"]), st.booleans(), st.booleans()), max_size=8)
)
def test_characters_find_their_word_wherever_the_blanks_are(
    words: list[tuple[str, bool, bool]],
) -> None:
    """Tokens with or without a blank after them in the text, cut in two or not."""
    pieces, owners, text, number = [], [], "", 0
    for word, blank, cut in words:
        parts = [word[:1] + "@@", word[1:]] if cut and len(word) > 1 else [word]
        pieces += parts
        owners += [[number]] * len(parts)
        text += word + " " * blank
        number += blank
    assert words_of_pieces(pieces, text) == owners


def test_without_a_tokeniser_the_words_are_those_of_the_pieces(runs: Path) -> None:
    for record in read_records(runs / "student/test.jsonl")[1]:
        tokens = record.hypotheses[0].tokens[:-1]
        groups = word_groups(tokens)
        assert record.reference is not None
        labels = edit_labels(
            [spelled([tokens[i] for i in group]) for group in groups], record.reference.split()
        )
        expected = [label for group, label in zip(groups, labels, strict=True) for _ in group]
        assert token_labels(record, None, "x") == [*expected, None]


def test_detection_is_scikit_learns_over_all_tokens(runs: Path) -> None:
    tokens = read_tokens(runs / "student/test.jsonl")
    assert set(tokens.measures) == {"TU", "DU", "MI", "EPKL", "MKL", "sTU"}
    assert 0.1 < tokens.wrong.mean() < 0.9
    for measure, values in tokens.measures.items():
        figures = point(TokenDetection(tokens, measure), [60])
        expected = {
            "token AP": 100 * average_precision_score(tokens.wrong, values),
            "token ROC-AUC": 100 * roc_auc_score(tokens.wrong, values),
        }
        assert figures == pytest.approx(expected)


def test_a_sentence_drawn_twice_counts_its_tokens_twice(runs: Path) -> None:
    tokens = read_tokens(runs / "student/test.jsonl")
    counts = np.ones((1, 60))
    counts[0, [3, 5]] = [2, 0]
    drawn = np.repeat(np.arange(tokens.wrong.size), counts[0, tokens.sentence].astype(int))
    expected = 100 * average_precision_score(tokens.wrong[drawn], tokens.measures["TU"][drawn])
    assert TokenDetection(tokens, "TU")(counts)["token AP"][0] == pytest.approx(expected)


def test_the_end_of_the_sentence_has_no_label(runs: Path) -> None:
    _, records = read_records(runs / "single/test.jsonl")
    lengths = [len(record.hypotheses[0].tokens) - 1 for record in records]
    assert np.bincount(read_tokens(runs / "single/test.jsonl").sentence).tolist() == lengths


def test_given_labels_take_the_place_of_edits(runs: Path, tmp_path: Path) -> None:
    path, labels = runs / "single/test.jsonl", tmp_path / "labels.txt"
    texts = read_columns(path).translations
    labels.write_text("".join("BAD " + "OK " * (len(t.split()) - 1) + "\n" for t in texts), encoding="utf-8")
    tokens = read_tokens(path, labels)
    first_words = sum(len(word_groups(r.hypotheses[0].tokens[:-1])[0]) for r in read_records(path)[1])
    assert tokens.wrong.sum() == first_words


def test_the_labels_of_gaps_are_left_out(runs: Path, tmp_path: Path) -> None:
    """In the WMT tasks of 2018 to 2020, gap and word take turns, with a gap at either end."""
    path, words, gaps = runs / "single/test.jsonl", tmp_path / "words.txt", tmp_path / "gaps.txt"
    generator = np.random.default_rng(0)
    lines = [
        generator.choice(["OK", "BAD"], len(t.split())).tolist() for t in read_columns(path).translations
    ]
    words.write_text("".join(" ".join(line) + "\n" for line in lines), encoding="utf-8")
    gaps.write_text("".join("BAD " + " OK ".join(line) + " BAD\n" for line in lines), encoding="utf-8")
    np.testing.assert_array_equal(read_tokens(path, gaps).wrong, read_tokens(path, words).wrong)


def test_faulty_labels_are_one_clear_sentence(runs: Path, tmp_path: Path) -> None:
    path, labels = runs / "single/test.jsonl", tmp_path / "labels.txt"
    for content, message in (
        ("OK WRONG\n", "line 1: 'WRONG' is neither OK nor BAD"),
        ("OK\n" * 60, r"1 word labels for the \d+ words of sentence 0"),
    ):
        labels.write_text(content, encoding="utf-8")
        with pytest.raises(UserError, match=message):
            read_tokens(path, labels)
    texts = read_columns(path).translations
    for some, message in ((texts[:9], "has 9 lines, fewer than"), ([*texts, "x"], "has 61 lines for the 60")):
        labels.write_text("".join("OK " * len(text.split()) + "\n" for text in some), encoding="utf-8")
        with pytest.raises(UserError, match=message):
            read_tokens(path, labels)
    with pytest.raises(UserError, match="token errors need them or a file of word labels"):
        read_tokens(runs / "single/german.jsonl")
    labels.write_bytes(b"OK\nBAD\xff\n")
    with pytest.raises(UserError, match=r"Line 2 of .*labels\.txt is not UTF-8"):
        read_word_labels(labels)
    with pytest.raises(UserError, match="Cannot read"):
        read_word_labels(tmp_path / "none.txt")


@pytest.mark.parametrize(("language", "wrong"), [("zh", [False, False, True, False]), ("xx", [True] * 4)])
def test_the_target_language_of_the_file_cuts_the_words(
    tmp_path: Path, language: str, wrong: list[bool]
) -> None:
    tokens = ("▁我", "喜欢", "红", "苹果", "</s>")
    lines = [header_to_json(Header("single", 1, 1, target_lang=language))]
    for number in range(4):  # of which the last two have the reference's text
        text = "我喜欢红苹果" if number < 2 else "我喜欢青苹果"
        columns = {"TU": (0.1, 0.2, 0.3, 0.4, 0.1 * number)}
        hypothesis = Hypothesis(text, tokens, -1.0, -1.0, {"TU": 0.1 * number}, columns)
        lines.append(
            sentence_to_json(Sentence(number, "", (hypothesis,), {"TU": 0.1 * number}, "我喜欢青苹果"))
        )
    path = tmp_path / "test.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert read_tokens(path).wrong.tolist() == wrong * 2 + [False] * 8
    systems = {"x": {"test": read_columns(path)}}
    result = evaluate(systems, settings=Settings(resamples=10, token_level=True))
    signature = result.scores[Key("x", "test", "TU", "token AP")].signature.format()
    assert ("|words:zh|" in signature) == (language == "zh")


def test_evaluate_adds_the_token_figures_on_request(runs: Path) -> None:
    systems = {"x": {"test": read_columns(runs / "student/test.jsonl")}}
    result = evaluate(systems, settings=Settings(resamples=20, token_level=True))
    score = result.scores[Key("x", "test", "EPKL", "token AP")]
    assert score.interval is not None
    assert "measure:EPKL|level:token|set:test|sentences:60|tokens:" in score.signature.format()
    assert any("% of the tokens are wrong" in note for note in result.notes)
