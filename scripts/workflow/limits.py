"""Drop the pairs of a text in pieces that are too long, too short or too unlike in length, and say how many.

    python -m scripts.workflow.limits --source IN.en --target IN.de --max-length 250 --max-ratio 1.5 \\
        --output-source OUT.en --output-target OUT.de

The rule of Moses' ``clean-corpus-n.perl``: a pair stays if both sides have 1 to ``--max-length`` pieces and neither has
more than ``--max-ratio`` times those of the other.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
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
    sources: Path, targets: Path, max_length: int, max_ratio: float, outputs: tuple[Path, Path]
) -> Counter[str]:
    """Write the pairs that stay to ``outputs``; how many were ``kept`` and dropped for which reason.

    Raises:
        UserError: the sides differ in their number of lines, or no pair stays.
    """
    counts: Counter[str] = Counter()
    with (
        open(sources, encoding="utf-8", newline="\n") as source_stream,
        open(targets, encoding="utf-8", newline="\n") as target_stream,
        atomic_writer(outputs[0]) as source_output,
        atomic_writer(outputs[1]) as target_output,
    ):
        for source, target in zip_longest(source_stream, target_stream):
            if source is None or target is None:
                raise UserError(f"{sources} and {targets} have not as many lines; make both anew.")
            reason = problem(len(source.split()), len(target.split()), max_length, max_ratio)
            counts[reason or "kept"] += 1
            if reason is None:
                source_output.write(source)
                target_output.write(target)
        if not counts["kept"]:
            raise UserError(
                f"No pair of {sources} is within the limits; they are too narrow, or the text is no translation."
            )
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--target", type=Path, required=True)
    parser.add_argument("--max-length", type=int, required=True, help="pieces of a side")
    parser.add_argument("--max-ratio", type=float, required=True, help="of the sides' lengths")
    parser.add_argument("--output-source", type=Path, required=True)
    parser.add_argument("--output-target", type=Path, required=True)
    options = parser.parse_args()

    def run() -> None:
        counts = limit(
            options.source,
            options.target,
            options.max_length,
            options.max_ratio,
            (options.output_source, options.output_target),
        )
        dropped = ", ".join(f"{reason} {count}" for reason, count in counts.most_common() if reason != "kept")
        print(f"{counts['kept']} pairs kept; dropped: {dropped or 'none'}", file=sys.stderr)

    return exit_status(run)


if __name__ == "__main__":
    sys.exit(main())
