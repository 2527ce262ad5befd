"""Shifted sets from a test set."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ednd_nmt.cli import main
from ednd_nmt.errors import UserError
from ednd_nmt.evaluation.shift import as_spoken, permute_pieces, permute_words, with_typos
from ednd_nmt.evaluation.words import spelled, word_groups

SOURCE = ["Choose Format - Cells, don't wait!", "One two three four five six seven", "Yes"]
TARGET = ["Wählen Sie Format - Zellen.", "Eins zwei drei vier fünf sechs sieben", "Ja"]
LINES = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=40)


def test_words_of_sentence_pieces_bpe_and_plain_tokens() -> None:
    assert word_groups(["▁Das", "▁Hau", "s", "."]) == [[0], [1, 2, 3]]
    assert word_groups(["Das", "Hau@@", "s", "."]) == [[0], [1, 2], [3]]
    assert word_groups(["Das", "Haus"]) == [[0], [1]]
    assert word_groups([]) == []
    assert (spelled(["▁Hau", "s"]), spelled(["Hau@@", "s"])) == ("Haus", "Haus")


@given(LINES)
def test_a_permutation_has_the_same_words_in_another_order_every_time(text: str) -> None:
    for permute in (permute_words, permute_pieces):
        permuted = permute(text)
        assert Counter(permuted.split()) == Counter(text.split())
        assert permuted == permute(text)
        assert (
            (permuted.split() != text.split()) == (len(set(text.split())) > 1) or "▁" in text or "@@" in text
        )


def test_the_order_is_the_same_on_every_machine() -> None:
    assert permute_words("one two three four five six") == "five six one four two three"


@pytest.mark.parametrize("text", ["", "one", "same same same"])
def test_text_without_another_order_stays(text: str) -> None:
    assert permute_words(text) == permute_pieces(text) == text


@pytest.mark.parametrize("text", ["▁a ▁Hau s ▁b ▁c d e", "a Hau@@ s b c@@ d@@ e"])
def test_segmented_words_keep_their_pieces_and_pieces_do_not_stay_together(text: str) -> None:
    def words(line: str) -> Counter[str]:
        pieces = line.split()
        return Counter(spelled([pieces[i] for i in group]) for group in word_groups(pieces))

    assert words(permute_words(text)) == words(text) == Counter(["a", "Haus", "b", "cde"])
    assert words(permute_pieces(text)) != words(text)
    assert Counter(permute_pieces(text).split()) == Counter(text.split())


def test_spoken_style() -> None:
    assert as_spoken("Choose Format - Cells, don't wait!") == "choose format cells don't wait"
    assert as_spoken("It is a well-known 'fact'.") == "it is a well-known fact"
    assert as_spoken("Wählen Sie »Größe« – 3,5 % (oder max_len)!") == "wählen sie größe 3 5 oder max_len"


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("हिन्दी में लिखिए, कृपया।", "हिन्दी में लिखिए कृपया"),
        ("ภาษาไทย \u201cที่นี่\u201d!", "ภาษาไทย ที่นี่"),
        ("धीरे-धीरे", "धीरे-धीरे"),  # the first half ends with a mark
        ("می\u200cخواهم.", "می\u200cخواهم"),  # a joiner that Persian spells words with
        ("Don\u2019t say \u2018fact\u2019, it\u2019s", "don't say fact it's"),
        ("Wa\u0308hlen", "w\u00e4hlen"),
        ("So \u2764\ufe0f, \U0001f469\u200d\U0001f4bb is me", "so is me"),  # no mark is left of what is gone
    ],
)
def test_spoken_style_of_other_scripts_and_typography(text: str, spoken: str) -> None:
    assert as_spoken(text) == as_spoken(unicodedata.normalize("NFD", text)) == spoken


@given(st.text(st.characters(max_codepoint=127), max_size=40))
def test_spoken_style_of_ascii(text: str) -> None:
    """Everything goes but letters, digits and underscores, and what joins two of them."""
    joined = re.sub(r"[^\w'-]|(?<!\w)['-]|['-](?!\w)", " ", text.lower(), flags=re.ASCII)
    assert as_spoken(text) == " ".join(joined.split())


@given(LINES, st.floats(0, 1))
def test_typing_errors_touch_letters_only_and_never_empty_a_line(text: str, rate: float) -> None:
    typed = with_typos(text, rate)
    assert typed == with_typos(text, rate)
    assert bool(typed.strip()) == bool(text.strip())
    if typed != text:
        others = [character for character in text if not character.isalpha()]
        assert [character for character in typed if not character.isalpha()] == others
    assert with_typos(text, 0.0) == text


def test_as_many_letters_are_mistyped_as_asked_for() -> None:
    """Of letters between which nothing can be exchanged: the share that is not there once, as it was."""
    text = "ß " * 20_000
    for rate in (0.05, 0.3):
        mistyped = sum(word != "ß" for word in with_typos(text, rate).split(" ")[:-1])
        assert mistyped / 20_000 == pytest.approx(rate, abs=0.01)


def test_every_kind_of_typing_error_occurs() -> None:
    typed = {with_typos(f"{prefix} Was", 0.4).split(" ")[1] for prefix in range(400)}
    assert {"Was", "as", "WWas", "aWs", "Eas", "Qas", "Wsa"} <= typed


def test_a_rate_outside_0_to_1_is_refused() -> None:
    with pytest.raises(UserError, match=r"between 0 and 1, not 1\.5"):
        with_typos("x", 1.5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, lines in (
        ("test.en", SOURCE),
        ("test.de", TARGET),
        ("other.fr", ["", "Oui", "Non", "Si", "Bon"]),
    ):
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def made(folder: Path) -> dict[str, list[str]]:
    return {
        path.name: path.read_text("utf-8").split("\n")[:-1] for path in sorted((folder / "out").iterdir())
    }


def test_the_command_makes_every_set_for_which_the_text_is_given(folder: Path) -> None:
    arguments = ["shift", str(folder / "test.en"), "--output", str(folder / "out")]
    assert main(arguments) == 0
    assert sorted(made(folder)) == ["spoken.en", "typos.en", "words.en"]
    arguments += [
        "--target",
        str(folder / "test.de"),
        "--foreign",
        str(folder / "other.fr"),
        "--typo-rate",
        "0.5",
    ]
    assert main(arguments) == 0
    sets = made(folder)
    assert sorted(sets) == ["copied.en", "foreign.en", "spoken.en", "typos.en", "words.en"]
    assert sets["words.en"] == [permute_words(line) for line in SOURCE]
    assert sets["spoken.en"] == [as_spoken(line) for line in SOURCE]
    assert sets["typos.en"] == [with_typos(line, 0.5) for line in SOURCE]
    assert sets["copied.en"] == TARGET
    assert sets["foreign.en"] == ["Oui", "Non", "Si"]  # as many as the test set has, no empty ones
    assert main(arguments) == 0
    assert made(folder) == sets


def test_a_set_that_is_the_test_set_is_left_out_or_refused_and_one_that_nearly_is_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    source = folder / "chinese.zh"
    source.write_text("我喜欢苹果。\n\n今天天气很好。\n他来了。\n", encoding="utf-8")
    arguments = ["shift", str(source), "--output", str(folder / "out")]
    assert main(arguments) == 0
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["spoken.zh", "typos.zh"]
    (warning,) = caplog.messages
    assert "'words' would have no other lines" in warning
    assert "and is left out" in warning
    caplog.clear()
    for path in (folder / "out").iterdir():
        path.unlink()
    capsys.readouterr()
    assert main([*arguments, "--sets", "words"]) == 2
    error = capsys.readouterr().err
    assert f"'words' would have no other lines than {source} (without blanks, a line is one word)" in error
    assert "name other sets with --sets" in error
    assert not list((folder / "out").iterdir())
    source.write_text("我喜欢苹果\n", encoding="utf-8")
    assert main([*arguments, "--typo-rate", "0"]) == 2
    assert "No shifted set can be made of" in capsys.readouterr().err
    caplog.clear()
    source.write_text("我喜欢苹果。\n\n今天天气很好。\n他来了。\n", encoding="utf-8")
    assert main([*arguments, "--sets", "spoken"]) == 0
    assert main([*arguments, "--sets", "typos", "--typo-rate", "0"]) == 2
    assert main([*arguments, "--sets", "foreign", "--foreign", str(folder / "other.fr")]) == 0
    assert not caplog.messages
    with source.open("a", encoding="utf-8") as stream:
        stream.write("New York 很大\n")
    assert main([*arguments, "--sets", "words"]) == 0
    (warning,) = caplog.messages
    assert "'words' has 75 % of its lines in common" in warning
    with source.open("a", encoding="utf-8") as stream:
        stream.write("New Orleans 很小\nNew Delhi 很热\n")
    caplog.clear()
    assert main([*arguments, "--sets", "words"]) == 0  # half of them
    assert not caplog.messages


def test_pieces_of_a_model_and_of_segmented_text(folder: Path) -> None:
    import sentencepiece

    (folder / "text").write_text("\n".join(SOURCE * 20) + "\n", encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text"),
        model_prefix=str(folder / "m"),
        vocab_size=36,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "m.model"))
    segmented = [" ".join(model.encode(line, out_type=str)) for line in SOURCE]
    arguments = ["--sets", "pieces", "--output", str(folder / "out")]
    assert main(["shift", str(folder / "test.en"), "--piece-model", str(folder / "m.model"), *arguments]) == 0
    expected = [permute_pieces(line) for line in segmented]
    assert made(folder) == {"pieces.en": expected}
    (folder / "segmented.en").write_text("\n".join(segmented) + "\n", encoding="utf-8")
    assert main(["shift", str(folder / "segmented.en"), *arguments]) == 0
    assert made(folder) == {"pieces.en": expected}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sets", "pieces"], "'pieces' needs --piece-model"),
        (["--sets", "copied"], "'copied' needs --target"),
        (["--target", "{}/other.fr"], "5 lines for the 3 of the source"),
        (["--foreign", "{}/missing"], "Cannot read"),
        (["--foreign", "{}/empty"], "holds no text"),
        (["--sets", "pieces", "--piece-model", "{}/test.en"], "is not a SentencePiece model"),
        (["--typo-rate", "2"], "between 0 and 1"),
    ],
)
def test_faulty_requests_are_one_sentence_and_write_nothing(
    folder: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "empty").write_text("\n", encoding="utf-8")
    given = [option.format(folder) for option in options]
    assert main(["shift", str(folder / "test.en"), "--output", str(folder / "out"), *given]) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "out").exists()
