"""What is dropped."""

import pytest

from ednd_nmt.punctuation import plain_punctuation
from scripts.corpus.clean import is_wrong_language, pair_problem, side_problem, word_overlap


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("word " * 101, "too long"),
        ("See https://example.org for more.", "address"),
        ("Write to jane@example.org now.", "address"),
        ("Press the <b>bold</b> button.", "markup"),
        ("Delete %s from the list.", "markup"),
        ("Value of ${HOME} is used.", "markup"),
        ("A " + "x" * 46, "long token"),
        ("1 + 2 = 3 (a)", "few letters"),
        ("Das ist nicht der Name der Datei.", "language"),
        ("This is not the name of the file.", None),
        ("100 % of all users", None),
        ("दस्तावेज़ को सहेजने के लिए फ़ाइल मेनू में सहेजें पर क्लिक करें।", None),  # a third of it are marks
        (
            "要保存文档，请在“文件”菜单中选择“保存”，然后输入文件名，选择文件夹，再次单击“保存”按钮即可完成。",
            None,
        ),
        ("保存" * 100, None),
        ("保存" * 101, "too long"),
        ("保存" + "x" * 46, "long token"),
        ("1 + 2 = 三 (甲)", "few letters"),
    ],
)
def test_side_problem(text: str, problem: str | None) -> None:
    assert side_problem(text.strip(), "en") == problem


@pytest.mark.parametrize(
    ("source", "target", "problem"),
    [
        ("Save the file now.", "Speichern Sie jetzt die Datei.", None),
        ("Save", "Die Datei speichern", None),  # ratio 3 is allowed where both sides are short
        ("Save", "Nun die Datei speichern", "length ratio"),
        ("Choose one of these four items", "Wählen", "length ratio"),
        ("LibreOffice Writer", "LibreOffice Writer", "identical"),
        ("The GNU C Library manual", "the gnu c library Manual", "identical"),
        ("Apache HTTP Server module alpha", "Apache HTTP Server Modul alpha", "nearly identical"),
        ("Save the file now.", "Save the file to the disk.", "language"),
    ],
)
def test_pair_problem(source: str, target: str, problem: str | None) -> None:
    assert pair_problem(source, target, "en", "de") == problem


@pytest.mark.parametrize(
    ("translation", "language", "shorter"),
    [
        ("要打印此文档，请从文件菜单中选择打印，然后单击确定。", "zh", "要打印此文档。"),
        (
            "この文書を印刷するには、ファイルメニューから印刷を選択し、OKをクリックします。",
            "ja",
            "文書を印刷します。",
        ),
        ("หากต้องการพิมพ์เอกสารนี้ ให้เลือกพิมพ์จากเมนูไฟล์ แล้วคลิกตกลง", "th", "พิมพ์เอกสารนี้"),
        ("इस दस्तावेज़ को मुद्रित करने के लिए फ़ाइल मेनू से मुद्रण चुनें और ठीक पर क्लिक करें।", "hi", "दस्तावेज़ मुद्रित करें।"),
    ],
)
def test_lengths_are_compared_in_words_where_nothing_separates_them(
    translation: str, language: str, shorter: str
) -> None:
    english = "To print this document, choose Print from the File menu, then click OK."
    translation, shorter = plain_punctuation(translation), plain_punctuation(shorter)
    assert pair_problem(english, translation, "en", language) is None
    assert pair_problem(translation, english, language, "en") is None
    assert pair_problem("Print it.", shorter, "en", language) is None
    assert pair_problem(english, shorter, "en", language) == "length ratio"
    assert pair_problem(translation, f"{translation[:-1]}!", language, "xx") == "nearly identical"


def test_language_needs_two_foreign_words_and_more_than_own() -> None:
    assert not is_wrong_language("Der Spiegel", "en")
    assert is_wrong_language("der Name und die Datei", "en")
    assert not is_wrong_language("the words der and und are in the list", "en")
    assert not is_wrong_language("das und der", "cs")  # no list of function words: never judged


def test_word_overlap_is_the_dice_coefficient() -> None:
    assert word_overlap("a b c", "a B d e") == pytest.approx(2 * 2 / 7)
    assert word_overlap("1 2", "3") == 0.0
