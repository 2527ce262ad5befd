"""From tokens to the text of a record."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ednd_nmt.errors import UserError
from ednd_nmt.generation_records import pieces_of, read_raw_lines


def test_pieces_are_those_of_fairseqs_own_string() -> None:
    from fairseq.data import Dictionary

    dictionary = Dictionary()
    for piece in ("\u2581a", "b", "\u2581<0x41>"):
        dictionary.add_symbol(piece)
    pad, eos, unk = dictionary.pad(), dictionary.eos(), dictionary.unk()
    tokens = torch.tensor([dictionary.bos(), 4, 6, unk, 5, eos])
    expected = dictionary.string(tokens.int(), bpe_symbol=None, extra_symbols_to_ignore={eos})
    padded = torch.cat([torch.tensor([pad, pad]), tokens])
    assert " ".join(pieces_of(padded, dictionary)) == expected == "\u2581a \u2581<0x41> <unk> b"


def test_raw_text_goes_with_the_data_set_line_by_line(tmp_path: Path) -> None:
    text = tmp_path / "raw.en"
    text.write_bytes("\ufeffone\r\n\nthree\u2028still three".encode())
    assert read_raw_lines(str(text), 3, "--raw-source") == ["one", "", "three\u2028still three"]
    assert read_raw_lines(None, 3, "--raw-source") is None
    with pytest.raises(
        UserError, match=r"raw\.en has 3 lines but the data set 4 sentences; mend --raw-source\."
    ):
        read_raw_lines(str(text), 4, "--raw-source")
    for wrong, reason in ((tmp_path, "Is a directory"), (tmp_path / "none", "No such file")):
        with pytest.raises(UserError, match=f"{reason}.*; mend --raw-reference"):
            read_raw_lines(str(wrong), 3, "--raw-reference")
    text.write_bytes("für".encode("latin-1"))
    with pytest.raises(UserError, match=r"Line 1 of .*raw\.en is not UTF-8"):
        read_raw_lines(str(text), 1, "--raw-source")
