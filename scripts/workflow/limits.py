"""Drop the pairs of a text in pieces that are too long, too short or too unlike in length, and say how many.

    python -m scripts.workflow.limits --source IN.en --target IN.de --max-length 250 --max-ratio 1.5 \\
        --output-source OUT.en --output-target OUT.de

The rule of Moses' ``clean-corpus-n.perl``: a pair stays if both sides have 1 to ``--max-length`` pieces and neither has
more than ``--max-ratio`` times those of the other. With ``--texts FILE.en FILE.de``, the text that the pieces were cut from,
its lines are written in place of the pieces.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path

from ednd_nmt.errors import UserError, exit_status
from ednd_nmt.files import atomic_writer


def problem(source: int, target: int, max_length: int, max_ratio: float) -> str | None:
    """Why a pair of that many pieces is dropped; None where it stays."""
    if not source or not target:
        return "empty"
    if max(source, target) > max_length:
        return "too long"
    if max(source, target) > max_ratio * min(source, target):
        return "length ratio"
    return None


def limit(
    pieces: Sequence[Path],
    max_length: int,
    max_ratio: float,
    outputs: Sequence[Path],
    texts: Sequence[Path] = (),
) -> Counter[str]:
    """Write the pairs that stay; how many were ``kept`` and dropped for which reason.

    Args:
        pieces: source and target.
        max_length: pieces of a side.
        max_ratio: of the sides' lengths.
        outputs: source and target.
        texts: source and target line by line; what is written, if they are given, instead of the pieces.

    Raises:
        UserError: the files differ in their number of lines, or no pair stays.
    """
    counts: Counter[str] = Counter()
    files = [*pieces, *texts]
    with ExitStack() as stack:
        streams = [stack.enter_context(open(path, encoding="utf-8", newline="\n")) for path in files]
        source_output, target_output = (stack.enter_context(atomic_writer(path)) for path in outputs)
        for lines in zip_longest(*streams):
            if None in lines:
                raise UserError(f"{' and '.join(map(str, files))} have not as many lines; make them anew.")
            source, target = (len(line.split()) for line in lines[:2])
            reason = problem(source, target, max_length, max_ratio)
            counts[reason or "kept"] += 1
            if reason is None:
                source_output.write(lines[-2])
                target_output.write(lines[-1])
        if not counts["kept"]:
            raise UserError(
                f"No pair of {pieces[0]} is within the limits; they are too narrow, or the text is no translation."
            )
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--target", type=Path, required=True)
    parser.add_argument("--max-length", type=int, required=True, help="pieces of a side")
    parser.add_argument("--max-ratio", type=float, required=True, help="of the sides' lengths")
    parser.add_argument(
        "--texts",
        type=Path,
        nargs=2,
        default=(),
        metavar=("SOURCE", "TARGET"),
        help="to write in place of pieces",
    )
    parser.add_argument("--output-source", type=Path, required=True)
    parser.add_argument("--output-target", type=Path, required=True)
    options = parser.parse_args()

    def run() -> None:
        counts = limit(
            (options.source, options.target),
            options.max_length,
            options.max_ratio,
            (options.output_source, options.output_target),
            options.texts,
        )
        dropped = ", ".join(f"{reason} {count}" for reason, count in counts.most_common() if reason != "kept")
        print(f"{counts['kept']} pairs kept; dropped: {dropped or 'none'}", file=sys.stderr)

    return exit_status(run)


if __name__ == "__main__":
    sys.exit(main())
