"""Put the shards of an ensemble's translations together into the student's training text.

    python -m scripts.workflow.transfer --source train.pieces.en --source-lang en --target-lang de \\
        --output transfer/train [--references train.pieces.de] SHARD ...

A shard is what ``fairseq-generate`` printed (without ``--remove-bpe``) for its part of the training sources.
Every source gets its best translation, in the order of the source file; one too many or too few is an error.
With ``--references`` the pairs of sources and references follow (mixed); without, the references are dropped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ednd_nmt.errors import UserError
from ednd_nmt.files import atomic_writer


def best_hypotheses(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """``(sentence, text)`` of the best hypothesis of every sentence: the first of its ``H-`` lines."""
    previous = None
    for line in lines:
        if line.startswith("H-"):
            name, _, text = line.rstrip("\n").split("\t", 2)
            number = int(name[2:])
            if number != previous:
                yield number, text
            previous = number


def merge(shards: Iterable[Iterable[str]], sentences: int) -> list[str]:
    """The best hypothesis of sentence 0, 1, ... ``sentences - 1``.

    Raises:
        UserError: a sentence is in no shard, in two, or not among the sources.
    """
    texts: list[str | None] = [None] * sentences
    for shard in shards:
        for number, text in best_hypotheses(shard):
            if number >= sentences:
                raise UserError(f"Sentence {number} of the shards is not among the {sentences} sources.")
            if texts[number] is not None:
                raise UserError(f"Sentence {number} is in two shards; remove the shards and translate anew.")
            texts[number] = text
    missing = [number for number, text in enumerate(texts) if text is None]
    if missing:
        raise UserError(
            f"{len(missing)} of {sentences} sources have no translation (the first is number {missing[0]}); "
            "remove the shards and translate anew."
        )
    return [text for text in texts if text is not None]


def read_shard(path: Path) -> Iterator[str]:
    """The lines of a shard."""
    with open(path, encoding="utf-8", newline="\n") as stream:
        yield from stream


def read_lines(path: Path) -> list[str]:
    """The lines of a text without their ends."""
    with open(path, encoding="utf-8", newline="\n") as stream:
        return [line.rstrip("\n") for line in stream]


def pairs(
    sources: Sequence[str], translations: Sequence[str], references: Sequence[str] | None
) -> list[tuple[str, str]]:
    """The student's training pairs: the translations, and after them the references if they are mixed in."""
    result = list(zip(sources, translations, strict=True))
    if references is not None:
        if len(references) != len(sources):
            raise UserError(
                f"{len(references)} references for {len(sources)} sources: give those of one text."
            )
        result += zip(sources, references, strict=True)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--source", type=Path, required=True, help="training sources in pieces")
    parser.add_argument("--references", type=Path, help="training references in pieces, to mix them in")
    parser.add_argument("--source-lang", required=True)
    parser.add_argument("--target-lang", required=True)
    parser.add_argument("--output", required=True, help="prefix of the two files to write")
    parser.add_argument("shards", type=Path, nargs="+", help="output of fairseq-generate")
    options = parser.parse_args()
    try:
        sources = read_lines(options.source)
        translations = merge(map(read_shard, options.shards), len(sources))
        result = pairs(sources, translations, read_lines(options.references) if options.references else None)
        for language, side in ((options.source_lang, 0), (options.target_lang, 1)):
            with atomic_writer(f"{options.output}.{language}") as stream:
                stream.writelines(pair[side] + "\n" for pair in result)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
