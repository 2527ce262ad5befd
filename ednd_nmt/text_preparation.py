"""From raw text to a model's pieces and back, as its training text was prepared."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ednd_nmt.errors import UserError
from ednd_nmt.model_folder import ModelFolder
from ednd_nmt.punctuation import plain_punctuation


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


def cleaner(
    language: str, moses_punctuation: bool = False, tokenizer: str = "none", plain: bool = False
) -> Callable[[str], str]:
    """What happens to a text before it is cut: white space of every kind made single blanks, then what is asked for.

    Args:
        language: of the text, for Moses.
        moses_punctuation: normalise punctuation by sacremoses.
        tokenizer: one of :data:`~ednd_nmt.model_folder.TOKENIZERS`, the last step.
        plain: before these, :func:`~ednd_nmt.punctuation.plain_punctuation`.
    """
    steps: list[Callable[[str], str]] = [plain_punctuation] if plain else []
    if moses_punctuation:
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
        preparation = folder.preparation
        self._source, self._target = (
            cleaner(
                language,
                preparation.normalise_punctuation,
                preparation.tokenizer,
                preparation.plain_punctuation,
            )
            for language in (preparation.source_lang, preparation.target_lang)
        )
        if preparation.tokenizer == "moses":
            from sacremoses import MosesDetokenizer

            self._detokenizer = MosesDetokenizer(lang=preparation.target_lang)

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
