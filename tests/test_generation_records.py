"""From tokens to the text of a record."""

from __future__ import annotations

import torch

from ednd_nmt.generation_records import pieces_of


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
