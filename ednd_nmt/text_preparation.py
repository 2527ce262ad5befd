"""From raw text to a model's pieces and back, as its training text was prepared."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ednd_nmt.errors import UserError
from ednd_nmt.model_folder import ModelFolder


def load_pieces(path: str | os.PathLike[str]) -> Any:
    """A sentencepiece model.

    Raises:
        UserError: the file is none, or cannot be read.
    """
    from sentencepiece import SentencePieceProcessor

    try:
        return SentencePieceProcessor(model_file=os.fspath(path))
    except (OSError, RuntimeError) as error:
        raise UserError(f"{path} is not a SentencePiece model that can be read; copy it again.") from error


def cleaner(language: str, normalise_punctuation: bool, tokenizer: str = "none") -> Callable[[str], str]:
    """What happens to a text before it is cut: white space of every kind made single blanks, then Moses by sacremoses."""
    steps: list[Callable[[str], str]] = []
    if normalise_punctuation:
        from sacremoses import MosesPunctNormalizer  # only those who ask for it pay for the import

        steps.append(MosesPunctNormalizer(lang=language).normalize)
    if tokenizer == "moses":
        from sacremoses import MosesTokenizer

        moses = MosesTokenizer(lang=language)
        steps.append(lambda text: moses.tokenize(text, return_str=True, escape=False))

    def clean(text: str) -> str:
        text = " ".join(text.split())
        for step in steps:
            text = " ".join(step(text).split())
        return text

    return clean


class TextPreparation:
    """Punctuation, tokens and pieces of one model folder; white space of every kind becomes single blanks."""

    def __init__(self, folder: ModelFolder) -> None:
        self._preparation = folder.preparation
        self._pieces = None
        if folder.pieces is not None:
            self._pieces = load_pieces(folder.pieces)
        steps = (folder.preparation.normalise_punctuation, folder.preparation.tokenizer)
        self._source = cleaner(folder.preparation.source_lang, *steps)
        self._target = cleaner(folder.preparation.target_lang, *steps)
        if folder.preparation.tokenizer == "moses":
            from sacremoses import MosesDetokenizer

            self._detokenizer = MosesDetokenizer(lang=folder.preparation.target_lang)

    def source_pieces(self, text: str) -> str:
        """A source sentence as the model reads it: pieces separated by blanks."""
        return self._cut(self._source(text))

    def target_pieces(self, text: str) -> str:
        """A translation as the model would write it."""
        return self._cut(self._target(text))

    def text(self, pieces: str) -> str:
        """The text of a model's pieces."""
        text = self._pieces.decode(pieces.split()) if self._pieces is not None else pieces
        if self._preparation.tokenizer == "moses":
            text = self._detokenizer.detokenize(text.split())
        return text

    def _cut(self, text: str) -> str:
        return " ".join(self._pieces.encode(text, out_type=str)) if self._pieces is not None else text
