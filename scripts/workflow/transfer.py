"""Put the shards of an ensemble's translations together into the student's training text.

    python -m scripts.workflow.transfer --source train.pieces.en --source-lang en --target-lang de \\
        --output transfer/train [--hypotheses N] [--references train.pieces.de] SHARD ...

A shard is what ``fairseq-generate`` printed (without ``--remove-bpe``) for its part of the training sources.
Every source gets its best translations, in the order of the source file: one, or as many as its n-best list has, at most N
and no text twice. A source too many or too few is an error. With ``--references`` the pairs of sources and references
follow (mixed); without, the references are dropped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from ednd_nmt.errors import UserError, exit_status
from ednd_nmt.files import atomic_writer, refuse_own_input
from ednd_nmt.text_input import read_lines, text_lines

REMEDY = "if its generation was interrupted, translate this shard anew"


def hypotheses_of(lines: Iterable[str], name: str) -> Iterator[tuple[int, str]]:
    """``(sentence, text)`` for every ``H-`` line of a shard, whose ``name`` a message has.

    Raises:
        UserError: such a line has no number, score or text.
    """
    for number, line in enumerate(lines, start=1):
        if line.startswith("H-"):
            sentence, *rest = line[2:].split("\t", 2)
            if not sentence.isdecimal() or len(rest) != 2:
                raise UserError(
                    f"Line {number} of {name} is no whole hypothesis of fairseq-generate; {REMEDY}."
                )
            yield int(sentence), rest[1]


def nbest_lists(hypotheses: Iterable[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    """``(sentence, texts)`` for every sentence: the texts of its hypotheses, best first, none twice."""
    for sentence, nbest in groupby(hypotheses, key=itemgetter(0)):
        yield sentence, list(dict.fromkeys(text for _, text in nbest))


def merge(
    shards: Iterable[Iterable[tuple[int, str]]], sentences: int, hypotheses: int = 1
) -> list[list[str]]:
    """At most ``hypotheses`` texts each, best first, for sentence 0, 1, ... ``sentences - 1``.

    Args:
        shards: the hypotheses of each, as of :func:`hypotheses_of`.
        sentences: how many sources there are.
        hypotheses: the most that are taken of a sentence.

    Raises:
        UserError: a sentence is in no shard, in two, or not among the sources.
    """
    merged: list[list[str]] = [[] for _ in range(sentences)]
    for shard in shards:
        for number, texts in nbest_lists(shard):
            if number >= sentences:
                raise UserError(f"Sentence {number} of the shards is not among the {sentences} sources.")
            if merged[number]:
                raise UserError(f"Sentence {number} is in two shards; remove the shards and translate anew.")
            merged[number] = texts[:hypotheses]
    missing = [number for number, texts in enumerate(merged) if not texts]
    if missing:
        raise UserError(
            f"{len(missing)} of {sentences} sources have no translation (the first is number {missing[0]}); "
            "remove the shards and translate anew."
        )
    return merged


def read_shard(path: Path) -> Iterator[tuple[int, str]]:
    """The hypotheses of a shard, as of :func:`hypotheses_of`.

    Raises:
        UserError: it is not whole, or no text in UTF-8.
    """
    with open(path, "rb") as stream:
        yield from hypotheses_of(text_lines(stream, str(path), REMEDY), str(path))


def pairs(
    sources: Sequence[str], translations: Sequence[Sequence[str]], references: Sequence[str] | None
) -> list[tuple[str, str]]:
    """The student's training pairs: the translations, and after them the references if they are mixed in."""
    result = [(source, text) for source, texts in zip(sources, translations, strict=True) for text in texts]
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
    parser.add_argument(
        "--hypotheses", type=int, default=1, metavar="N", help="translations of a source (default: 1)"
    )
    parser.add_argument("--source-lang", required=True)
    parser.add_argument("--target-lang", required=True)
    parser.add_argument("--output", required=True, help="prefix of the two files to write")
    parser.add_argument("shards", type=Path, nargs="+", help="output of fairseq-generate")
    return exit_status(partial(_write_pairs, parser.parse_args()))


def _write_pairs(options: argparse.Namespace) -> None:
    if options.hypotheses < 1:
        raise UserError(f"--hypotheses is {options.hypotheses}; give at least 1.")
    sources = read_lines(options.source)
    translations = merge(map(read_shard, options.shards), len(sources), options.hypotheses)
    texts = [path for path in (options.source, options.references) if path]
    for language in (options.source_lang, options.target_lang):
        refuse_own_input(f"{options.output}.{language}", [*texts, *options.shards])
    result = pairs(sources, translations, read_lines(options.references) if options.references else None)
    for language, side in ((options.source_lang, 0), (options.target_lang, 1)):
        with atomic_writer(f"{options.output}.{language}") as stream:
            stream.writelines(pair[side] + "\n" for pair in result)


if __name__ == "__main__":
    sys.exit(main())
