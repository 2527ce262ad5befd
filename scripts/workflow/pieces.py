"""The joint sentencepiece model of a recipe: learn it, write fairseq's dictionary of it, cut text with it.

python -m scripts.workflow.pieces learn  --size 8000 --output spm.model [--normalise] TEXT.en TEXT.de ...
python -m scripts.workflow.pieces dictionary --model spm.model --output dict.txt
python -m scripts.workflow.pieces encode --model spm.model --language en [--normalise] --output OUT TEXT
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import sentencepiece

from ednd_nmt.errors import UserError
from ednd_nmt.files import atomic_writer

# The result of the training depends on the number of threads (sums are split between them): a number of the
# recipe, not of the machine.
TRAINING_THREADS = 2
# fairseq's dictionary brings its own.
FAIRSEQ_SYMBOLS = ("<s>", "<pad>", "</s>", "<unk>")


def lines(path: Path) -> Iterator[str]:
    """The lines of a text file, white space of every kind made single blanks (where fairseq splits)."""
    with open(path, encoding="utf-8", newline="\n") as stream:
        for line in stream:
            yield " ".join(line.split())


def normaliser(language: str, wanted: bool) -> Callable[[str], str]:
    """Moses punctuation normalisation by sacremoses, or nothing at all."""
    if not wanted:
        return lambda text: text
    from sacremoses import MosesPunctNormalizer  # only recipes that ask for it pay for the import

    moses = MosesPunctNormalizer(lang=language)
    return lambda text: " ".join(moses.normalize(text).split())


def learn(sentences: Iterable[str], size: int) -> bytes:
    """A unigram model with byte fallback of (at most) ``size`` pieces, as the bytes of its file.

    Every character of the training text keeps a piece; the 256 byte pieces are for those it never saw. The
    text is not normalised by sentencepiece, so that pieces put together again are the text.
    """
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences),
            model_writer=model,
            vocab_size=size,
            model_type="unigram",
            character_coverage=1.0,
            byte_fallback=True,
            normalization_rule_name="identity",
            hard_vocab_limit=False,
            num_threads=TRAINING_THREADS,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise UserError(f"sentencepiece cannot learn {size} pieces from this text: {error}") from error
    return model.getvalue()


def dictionary(model: sentencepiece.SentencePieceProcessor) -> list[str]:
    """Lines of fairseq's dictionary of ALL pieces of ``model``, bytes too, in order (counts are not known).

    A dictionary made from the training text would lack the bytes that it does not need, and every French
    letter would become ``<unk>``: a foreign language would be told by that alone.
    """
    pieces = [model.id_to_piece(number) for number in range(model.get_piece_size())]
    return [f"{piece} 1" for piece in pieces if piece not in FAIRSEQ_SYMBOLS]


def load(path: Path) -> sentencepiece.SentencePieceProcessor:
    """The model in ``path``."""
    return sentencepiece.SentencePieceProcessor(model_file=str(path))


def _learn(options: argparse.Namespace) -> None:
    sentences = (
        normalise(line)
        for path in options.texts
        for normalise in [normaliser(path.suffix[1:], options.normalise)]
        for line in lines(path)
    )
    model = learn(sentences, options.size)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_bytes(model)


def _dictionary(options: argparse.Namespace) -> None:
    with atomic_writer(options.output) as stream:
        stream.writelines(line + "\n" for line in dictionary(load(options.model)))


def _encode(options: argparse.Namespace) -> None:
    model, normalise = load(options.model), normaliser(options.language, options.normalise)
    with atomic_writer(options.output) as stream:
        for line in lines(options.text):
            stream.write(" ".join(model.encode(normalise(line), out_type=str)) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("learn", help="learn the joint model")
    command.add_argument("--size", type=int, required=True, help="number of pieces")
    command.add_argument("--normalise", action="store_true", help="Moses punctuation normalisation first")
    command.add_argument("--output", type=Path, required=True)
    command.add_argument("texts", type=Path, nargs="+", help="training texts, named *.<language>")
    command.set_defaults(run=_learn)
    command = commands.add_parser("dictionary", help="write fairseq's dictionary of the model")
    command.add_argument("--model", type=Path, required=True)
    command.add_argument("--output", type=Path, required=True)
    command.set_defaults(run=_dictionary)
    command = commands.add_parser("encode", help="cut a text into pieces")
    command.add_argument("--model", type=Path, required=True)
    command.add_argument("--language", required=True)
    command.add_argument("--normalise", action="store_true", help="Moses punctuation normalisation first")
    command.add_argument("--output", type=Path, required=True)
    command.add_argument("text", type=Path)
    command.set_defaults(run=_encode)
    options = parser.parse_args()
    try:
        options.run(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
