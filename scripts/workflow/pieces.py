"""The joint sentencepiece model of a recipe: learn it, write fairseq's dictionary of it, cut text with it.

python -m scripts.workflow.pieces learn  --size 8000 --output spm.model TEXT.en TEXT.de ...
python -m scripts.workflow.pieces dictionary --model spm.model --output dict.txt [PIECES.en ...]
python -m scripts.workflow.pieces encode --model spm.model --language en --output OUT TEXT

Punctuation (``--plain-punctuation``, ``--normalise``) and tokens (``--tokenizer moses``) are prepared as
``ednd-nmt translate`` does it.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import sentencepiece

from ednd_nmt.errors import UserError, exit_status
from ednd_nmt.evaluation.shift import permute_pieces
from ednd_nmt.files import atomic_writer, refuse_own_input, whole_file
from ednd_nmt.model_folder import TOKENIZERS
from ednd_nmt.option_types import at_least
from ednd_nmt.text_input import text_lines
from ednd_nmt.text_preparation import cleaner, load_pieces

# The result of the training depends on the number of threads (sums are split between them): a number of the
# recipe, not of the machine.
TRAINING_THREADS = 2
# fairseq's dictionary brings its own.
FAIRSEQ_SYMBOLS = ("<s>", "<pad>", "</s>", "<unk>")
LINES_PER_TASK = 500


def lines(path: Path) -> Iterator[str]:
    """The lines of a text file, white space of every kind made single blanks (where fairseq splits)."""
    with open(path, "rb") as stream:
        for line in text_lines(stream, str(path)):
            yield " ".join(line.split())


def learn(sentences: Iterable[str], size: int, kind: str = "unigram", sample: int = 0) -> bytes:
    """A model with byte fallback of (at most) ``size`` pieces, as the bytes of its file.

    Every character of the training text keeps a piece; the 256 byte pieces are for those it never saw. The
    text is not normalised by sentencepiece, so that pieces put together again are the text.

    Args:
        kind: ``unigram`` or ``bpe``.
        sample: learn from that many sentences, drawn from all; 0: from all of them.
    """
    model = io.BytesIO()
    sentencepiece.set_random_generator_seed(1)
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences),
            model_writer=model,
            vocab_size=size,
            model_type=kind,
            input_sentence_size=sample,
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


def dictionary(
    model: sentencepiece.SentencePieceProcessor, texts: Iterable[Iterable[str]] | None = None
) -> list[str]:
    """Lines of fairseq's dictionary of ALL pieces of ``model``, bytes too, in order (counts are not known).

    A dictionary made from the training text would lack the bytes that it does not need, and every French
    letter would become ``<unk>``: a foreign language would be told by that alone. Given ``texts`` in pieces, those of
    one side of a pair that does not share its dictionary, pieces that are not in them are left out, the bytes
    excepted; the others come by their number.
    """
    pieces = [model.id_to_piece(number) for number in range(model.get_piece_size())]
    pieces = [piece for piece in pieces if piece not in FAIRSEQ_SYMBOLS]
    if texts is None:
        return [f"{piece} 1" for piece in pieces]
    counts = Counter(piece for text in texts for line in text for piece in line.split())
    used = [piece for piece in pieces if counts[piece] or model.is_byte(model.piece_to_id(piece))]
    return [f"{piece} {max(counts[piece], 1)}" for piece in sorted(used, key=lambda piece: -counts[piece])]


def _cleaner(language: str, options: argparse.Namespace) -> Callable[[str], str]:
    return cleaner(language, options.normalise, options.tokenizer, options.plain_punctuation)


class Cutter:
    """Text to pieces; it is made anew in every process."""

    _own: Cutter

    def __init__(self, options: argparse.Namespace) -> None:
        self._model = load_pieces(options.model)
        self._clean = _cleaner(options.language, options)
        self._arrange: Callable[[str], str] = permute_pieces if options.permute else str

    def __call__(self, text: str) -> str:
        return self._arrange(" ".join(self._model.encode(self._clean(text), out_type=str)))

    @classmethod
    def start(cls, options: argparse.Namespace) -> None:
        cls._own = cls(options)

    @classmethod
    def cut(cls, text: str) -> str:
        return cls._own(text)


def _learn(options: argparse.Namespace) -> None:
    refuse_own_input(options.output, options.texts)
    sentences = (
        clean(line)
        for path in options.texts
        for clean in [_cleaner(path.suffix[1:], options)]
        for line in lines(path)
    )
    model = learn(sentences, options.size, options.kind, options.sample)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(options.output) as partial:
        partial.write_bytes(model)


def _dictionary(options: argparse.Namespace) -> None:
    refuse_own_input(options.output, [options.model, *options.texts])
    texts = map(lines, options.texts) if options.texts else None
    with atomic_writer(options.output) as stream:
        stream.writelines(line + "\n" for line in dictionary(load_pieces(options.model), texts))


def _encode(options: argparse.Namespace) -> None:
    refuse_own_input(options.output, [options.text, options.model])
    with atomic_writer(options.output) as stream:
        if options.workers > 1:
            with multiprocessing.Pool(options.workers, Cutter.start, [options]) as pool:
                for line in pool.imap(Cutter.cut, lines(options.text), LINES_PER_TASK):
                    stream.write(line + "\n")
        else:
            cut = Cutter(options)
            stream.writelines(cut(line) + "\n" for line in lines(options.text))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    prepared = argparse.ArgumentParser(add_help=False)
    prepared.add_argument(
        "--plain-punctuation",
        action="store_true",
        help="plain quotation marks, dashes and blanks, before all else",
    )
    prepared.add_argument("--normalise", action="store_true", help="Moses punctuation normalisation")
    prepared.add_argument("--tokenizer", choices=TOKENIZERS, default="none", help="then these tokens")
    prepared.add_argument("--output", type=Path, required=True)
    command = commands.add_parser("learn", parents=[prepared], help="learn the joint model")
    command.add_argument("--size", type=at_least(1), required=True, help="number of pieces")
    command.add_argument("--kind", choices=["unigram", "bpe"], default="unigram", help="default: %(default)s")
    command.add_argument(
        "--sample", type=at_least(0), default=0, help="learn from so many sentences (0: all)"
    )
    command.add_argument("texts", type=Path, nargs="+", help="training texts, named *.<language>")
    command.set_defaults(run=_learn)
    command = commands.add_parser("dictionary", help="write fairseq's dictionary of the model")
    command.add_argument("--model", type=Path, required=True)
    command.add_argument("--output", type=Path, required=True)
    command.add_argument("texts", type=Path, nargs="*", help="only the pieces of these texts in pieces")
    command.set_defaults(run=_dictionary)
    command = commands.add_parser("encode", parents=[prepared], help="cut a text into pieces")
    command.add_argument("--model", type=Path, required=True)
    command.add_argument("--language", required=True)
    command.add_argument("--permute", action="store_true", help="the pieces of every line in another order")
    command.add_argument("--workers", type=at_least(1), default=1, help="processes (default: %(default)s)")
    command.add_argument("text", type=Path)
    command.set_defaults(run=_encode)
    options = parser.parse_args()
    return exit_status(lambda: options.run(options))


if __name__ == "__main__":
    sys.exit(main())
