"""``ednd-nmt shift``: shifted sets from any test set."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

SETS = {
    "words": "the words of each line in another order",
    "pieces": "the pieces of each line in another order (of segmented text, or with --piece-model)",
    "spoken": "lower case without punctuation, like the output of a speech recogniser",
    "typos": "letters left out, doubled, exchanged or replaced by their neighbours on the keyboard (--typo-rate)",
    "copied": "the target side where the source belongs (--target)",
    "foreign": "text of a language that the model does not translate from (--foreign)",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``ednd-nmt shift``."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "shifted sets:\n" + "\n".join(f"  {name:9} {what}" for name, what in SETS.items())
    parser.add_argument("source", help="source side of the test set, one sentence per line")
    parser.add_argument(
        "--sets",
        nargs="+",
        choices=tuple(SETS),
        metavar="SET",
        help=f"which to make, of {', '.join(SETS)} (default: all for which the text is given)",
    )
    parser.add_argument(
        "--output",
        required=True,
        metavar="FOLDER",
        help="gets <set><suffix of the source file> for every set",
    )
    parser.add_argument("--target", metavar="FILE", help="target side of the test set, line by line")
    parser.add_argument("--foreign", metavar="FILE", help="text in another language, one sentence per line")
    parser.add_argument("--piece-model", metavar="FILE", help="SentencePiece model that segments the lines")
    parser.add_argument(
        "--typo-rate", type=float, default=0.1, metavar="SHARE", help="of the letters (default: 0.1)"
    )


def run(args: argparse.Namespace) -> int:
    """Make and write the sets; returns the exit code.

    Raises:
        UserError: a file that cannot be read, text that a set needs and that was not given, a rate outside
            [0, 1], sides of different length, or a set that would take the place of a text that is given.
    """
    from ednd_nmt.files import atomic_writer, refuse_own_input

    makers = _makers(args)
    paths = {name: Path(args.output) / f"{name}{Path(args.source).suffix}" for name in makers}
    for path in paths.values():
        refuse_own_input(path, [text for text in (args.source, args.target, args.foreign) if text])
    lines = {name: maker() for name, maker in makers.items()}
    for name, of_set in lines.items():
        path = paths[name]
        with atomic_writer(path) as stream:
            stream.writelines(line + "\n" for line in of_set)
        print(f"{path}: {len(of_set):,} lines, {SETS[name].partition(' (')[0]}")
    return 0


def _makers(args: argparse.Namespace) -> dict[str, Callable[[], list[str]]]:
    """What gives the lines of each set that is to be made."""
    from ednd_nmt.errors import UserError
    from ednd_nmt.evaluation import shift

    lines = _read(args.source)
    segmented = any("▁" in line or "@@ " in line for line in lines)
    needed = {
        "pieces": ("--piece-model (or a source that is segmented)", segmented or args.piece_model),
        "copied": ("--target", args.target),
        "foreign": ("--foreign", args.foreign),
    }
    missing = {name: option for name, (option, given) in needed.items() if not given}
    for name in args.sets or ():
        if name in missing:
            raise UserError(f"The shifted set {name!r} needs {missing[name]}.")
    makers: dict[str, Callable[[], list[str]]] = {
        "words": lambda: [shift.permute_words(line) for line in lines],
        "pieces": lambda: [shift.permute_pieces(line) for line in _segmented(lines, args.piece_model)],
        "spoken": lambda: [shift.as_spoken(line) for line in lines],
        "typos": lambda: [shift.with_typos(line, args.typo_rate) for line in lines],
        "copied": lambda: _read(args.target, len(lines)),
        "foreign": lambda: [line for line in _read(args.foreign) if line.strip()][: len(lines)],
    }
    wanted = args.sets or [name for name in SETS if name not in missing]
    return {name: makers[name] for name in dict.fromkeys(wanted)}


def _read(path: str, length: int | None = None) -> list[str]:
    from ednd_nmt.errors import UserError
    from ednd_nmt.text_input import read_lines

    lines = read_lines(path)
    if not any(line.strip() for line in lines):
        raise UserError(f"{path} holds no text.")
    if length is not None and len(lines) != length:
        raise UserError(
            f"{path} has {len(lines):,} lines for the {length:,} of the source; they must go together."
        )
    return lines


def _segmented(lines: list[str], model: str | None) -> list[str]:
    if model is None:
        return lines
    from ednd_nmt.text_preparation import load_pieces

    processor = load_pieces(model)
    return [" ".join(processor.encode(line, out_type=str)) for line in lines]
