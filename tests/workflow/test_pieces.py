"""The joint piece model and fairseq's dictionary of it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import sentencepiece

from ednd_nmt.errors import UserError
from scripts.workflow import pieces

TEXT = [f"Das Haus Nummer {number} hat {number % 7} Fenster und eine Tür." for number in range(200)]


@pytest.fixture(scope="module")
def model() -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_proto=pieces.learn(TEXT, 350))


def test_learning_is_deterministic() -> None:
    assert pieces.learn(TEXT, 350) == pieces.learn(TEXT, 350)


def test_pieces_put_together_are_the_text(model: sentencepiece.SentencePieceProcessor) -> None:
    text = "Tür ﬁ ½ œuvre naïve 東京"  # a normalisation would change the second and the third
    assert model.decode(model.encode(text, out_type=str)) == text


def test_the_dictionary_has_every_piece_but_fairseqs_own(model: sentencepiece.SentencePieceProcessor) -> None:
    from fairseq.data import Dictionary

    lines = pieces.dictionary(model)
    dictionary = Dictionary()
    dictionary.add_from_file(io.StringIO("".join(line + "\n" for line in lines)))
    french = model.encode("œuvre 東", out_type=str)
    assert any(piece.startswith("<0x") for piece in french)
    ids = dictionary.encode_line(" ".join(french), add_if_not_exist=False)
    assert dictionary.unk() not in ids.tolist()
    assert len(dictionary) == model.get_piece_size() + 1  # sentencepiece has no <pad>


def test_white_space_of_every_kind_is_one_blank(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a\u00a0\u2028b\x0b\r\n\nlast", encoding="utf-8", newline="")
    assert list(pieces.lines(tmp_path / "text")) == ["a b", "", "last"]


def test_moses_normalisation_is_the_recipes_choice() -> None:
    assert pieces.normaliser("en", False)("«a» – b") == "«a» – b"
    assert pieces.normaliser("en", True)("«a» – b") == '"a" - b'


def test_too_little_text_is_one_sentence() -> None:
    with pytest.raises(UserError, match="sentencepiece cannot learn 300 pieces"):
        pieces.learn([], 300)


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, model, out = tmp_path / "text.de", tmp_path / "deep" / "spm.model", tmp_path / "out"
    text.write_text("\n".join(TEXT) + "\n", encoding="utf-8")
    for arguments in (
        ["learn", "--size", "350", "--output", str(model), str(text)],
        ["dictionary", "--model", str(model), "--output", str(tmp_path / "dict.txt")],
        ["encode", "--model", str(model), "--language", "de", "--output", str(out), str(text)],
    ):
        monkeypatch.setattr("sys.argv", ["pieces", *arguments])
        assert pieces.main() == 0
    dictionary = (tmp_path / "dict.txt").read_text(encoding="utf-8").splitlines()
    known = {line.rpartition(" ")[0] for line in dictionary}
    lines = out.read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(TEXT)
    assert {piece for line in lines for piece in line.split()} <= known
