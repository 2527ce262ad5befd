"""The joint piece model and fairseq's dictionary of it."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import pytest
import sentencepiece

from ednd_nmt.errors import UserError
from ednd_nmt.model_folder import ModelFolder, Preparation
from ednd_nmt.text_preparation import TextPreparation
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


def test_what_is_sampled_is_the_same_again() -> None:
    learned = pieces.learn(TEXT, 330, "bpe", 150)
    assert learned == pieces.learn(TEXT, 330, "bpe", 150)
    model = sentencepiece.SentencePieceProcessor(model_proto=learned)
    assert model.get_piece_size() == 330
    assert any(model.is_byte(number) for number in range(model.get_piece_size()))


def test_the_dictionary_of_one_side_has_its_pieces_and_every_byte(
    model: sentencepiece.SentencePieceProcessor,
) -> None:
    side = [" ".join(model.encode(text, out_type=str)) for text in TEXT[:2]]
    lines = dict(line.split(" ") for line in pieces.dictionary(model, [side[:1], side[1:]]))
    counts = Counter(" ".join(side).split())
    bytes_ = {f"<0x{value:02X}>" for value in range(256)}
    assert lines.keys() == counts.keys() | bytes_
    assert all(int(lines[piece]) == count for piece, count in counts.items())
    assert [int(count) for count in lines.values()] == sorted(map(int, lines.values()), reverse=True)


def test_too_little_text_is_one_sentence() -> None:
    with pytest.raises(UserError, match="sentencepiece cannot learn 300 pieces"):
        pieces.learn([], 300)


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, model, out = tmp_path / "text.de", tmp_path / "deep" / "spm.model", tmp_path / "out"
    text.write_text("\n".join(TEXT) + "\n", encoding="utf-8")
    for arguments in (
        ["learn", "--size", "350", "--output", str(model), str(text)],
        ["dictionary", "--output", str(tmp_path / "dict.txt"), "--model", str(model)],
        ["encode", "--model", str(model), "--language", "de", "--output", str(out), str(text)],
    ):
        monkeypatch.setattr("sys.argv", ["pieces", *arguments])
        assert pieces.main() == 0
        monkeypatch.setattr("sys.argv", ["pieces", *arguments, "--output", arguments[-1]])
        assert pieces.main() == 2  # would write over what it reads
    dictionary = (tmp_path / "dict.txt").read_text(encoding="utf-8").splitlines()
    known = {line.rpartition(" ")[0] for line in dictionary}
    lines = out.read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(TEXT)
    assert {piece for line in lines for piece in line.split()} <= known


@pytest.mark.slow
def test_text_is_cut_as_translate_cuts_it_by_any_number_of_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: sentencepiece.SentencePieceProcessor
) -> None:
    (tmp_path / "spm.model").write_bytes(model.serialized_model_proto())
    text = tmp_path / "text.de"
    text.write_text("".join(f"«{line[:-1]}»,  sagt er.\n" for line in TEXT * 6), encoding="utf-8")
    results = []
    for extra in (["--workers", "1"], ["--workers", "2"], ["--permute"]):
        arguments = ["encode", "--model", str(tmp_path / "spm.model"), "--language", "de", "--normalise"]
        arguments += ["--tokenizer", "moses", "--output", str(tmp_path / "out"), *extra, str(text)]
        monkeypatch.setattr("sys.argv", ["pieces", *arguments])
        assert pieces.main() == 0
        monkeypatch.setattr("sys.argv", ["pieces", *arguments, "--output", arguments[-1]])
        assert pieces.main() == 2  # would write over what it reads
        results.append((tmp_path / "out").read_text(encoding="utf-8").splitlines())
    one, two, permuted = results
    assert one == two
    folder = ModelFolder(tmp_path, tmp_path / "model.pt", Preparation("en", "de", True, "moses"))
    assert one[0] == TextPreparation(folder).target_pieces(f"«{TEXT[0][:-1]}»,  sagt er.")
    assert model.decode(one[0].split()).startswith('" Das Haus Nummer 0 hat 0 Fenster und eine Tür " , sagt')
    assert permuted != one
    assert [sorted(line.split()) for line in permuted] == [sorted(line.split()) for line in one]
