"""``ednd-nmt shift``: shifted sets from any test set."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

logger = logging.getLogger(__name__)

Pairs = list[tuple[str, str]]  # a line of the test set and that of the shifted set

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

    A set most of whose lines are those of the test set is made, with a warning; one that equals it is left out, unless it
    was asked for.

    Raises:
        UserError: a file that cannot be read, text that a set needs and that was not given, a rate outside
            [0, 1], sides of different length, a set that would take the place of a text that is given; a set that was
            asked for, or every set, would have no other lines than the test set.
    """
    from ednd_nmt.errors import UserError
    from ednd_nmt.files import atomic_writer, refuse_own_input

    makers = _makers(args)
    paths = {name: Path(args.output) / f"{name}{Path(args.source).suffix}" for name in makers}
    for path in paths.values():
        refuse_own_input(path, [text for text in (args.source, args.target, args.foreign) if text])
    pairs = {name: maker() for name, maker in makers.items()}
    for name in list(pairs):
        if not _is_shifted(name, pairs[name], args.source, is_asked_for=args.sets is not None):
            del pairs[name]
    if not pairs:
        raise UserError(f"No shifted set can be made of {args.source}; give --target or --foreign.")
    for name, of_set in pairs.items():
        path = paths[name]
        with atomic_writer(path) as stream:
            stream.writelines(line + "\n" for _, line in of_set)
        print(f"{path}: {len(of_set):,} lines, {SETS[name].partition(' (')[0]}")
    return 0


def _is_shifted(name: str, pairs: Pairs, source: str, is_asked_for: bool) -> bool:
    """Uncertainties of equal lines are equal: of a set of them, every measure has a ROC-AUC of 50 by construction.

    Raises:
        UserError: no line differs from that of the test set, although the set was asked for.
    """
    from ednd_nmt.errors import UserError

    unchanged = [shifted == line for line, shifted in pairs if line.strip()]
    if not any(unchanged):
        return True
    share = sum(unchanged) / len(unchanged)
    reason = " (without blanks, a line is one word)" if name == "words" else ""
    if share == 1:
        fault = f"The shifted set {name!r} would have no other lines than {source}{reason}"
        if is_asked_for:
            raise UserError(f"{fault}, and nothing could tell them apart; name other sets with --sets.")
        logger.warning("%s, and is left out.", fault)
        return False
    if share > 0.5:
        logger.warning(
            "The shifted set %r has %.0f %% of its lines in common with %s%s, so that it can hardly be detected.",
            name, 100 * share, source, reason,
        )  # fmt: skip
    return True


def _makers(args: argparse.Namespace) -> dict[str, Callable[[], Pairs]]:
    """What gives the lines of each set that is to be made, beside those of the test set."""
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
    makers: dict[str, Callable[[], Pairs]] = {
        "words": lambda: _shifted(lines, shift.permute_words),
        "pieces": lambda: _shifted(_segmented(lines, args.piece_model), shift.permute_pieces),
        "spoken": lambda: _shifted(lines, shift.as_spoken),
        "typos": lambda: _shifted(lines, partial(shift.with_typos, rate=args.typo_rate)),
        "copied": lambda: list(zip(lines, _read(args.target, len(lines)), strict=True)),
        "foreign": lambda: list(zip(lines, filter(str.strip, _read(args.foreign)), strict=False)),
    }
    wanted = args.sets or [name for name in SETS if name not in missing]
    return {name: makers[name] for name in dict.fromkeys(wanted)}


def _shifted(lines: list[str], shift: Callable[[str], str]) -> Pairs:
    return [(line, shift(line)) for line in lines]


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
