"""Translate many lines through a pipe: memory must stay flat, and every line must come out in its place.

    python scripts/soak_translate.py --model runs/quick/student --text test.en --lines 20000

The lines of the text are repeated, each with a number of its own, so that an exchange of two would be seen. Prints the
resident memory of ``ednd-nmt translate`` ten times on the way; the exit status is 1 if its maximum in the second half of the
lines is a tenth above that in the first, or if a line is out of its place.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ednd_nmt.option_types import at_least

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="model folder")
    parser.add_argument("--text", type=Path, required=True, help="raw text, one sentence per line")
    parser.add_argument("--lines", type=at_least(2), default=100_000)
    parser.add_argument("--beam", default="1")
    parser.add_argument("--buffer-size", default="200", help="lines that are batched together")
    args = parser.parse_args()
    command = [
        sys.executable,
        "-m",
        "ednd_nmt",
        "translate",
        "--model",
        args.model,
        "--quiet",
        "--format",
        "tsv",
    ]
    process = subprocess.Popen(
        [*command, "--beam", args.beam, "--buffer-size", args.buffer_size],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    threading.Thread(target=feed, args=(process.stdin, args.text, args.lines), daemon=True).start()
    started, memory = time.monotonic(), []
    head = process.stdout.readline().rstrip("\n").split("\t")
    for number, (line, expected) in enumerate(
        itertools.zip_longest(process.stdout, numbered(args.text, args.lines)), start=1
    ):
        source = None if line is None else line.rstrip("\n").split("\t")[head.index("source")]
        if source != expected:
            print(f"line {number} should be {expected!r}, but is {source!r}")
            process.kill()
            return 1
        if number % max(1, args.lines // 10) == 0:
            memory.append(resident(process.pid))
            print(
                f"{number:,} lines, {memory[-1]:,} kB, {number / (time.monotonic() - started):.1f} a second",
                flush=True,
            )
    if process.wait() != 0:
        return 1
    half = len(memory) // 2
    # What is freed in between leaves holes, so that it never stands still.
    growth = max(memory[half:]) / max(memory[:half])
    print(
        f"all {args.lines:,} lines in their places; memory in the second half at most {growth:.3f} times that in the first"
    )
    return int(growth > 1.1)


def numbered(text: Path, lines: int) -> Iterator[str]:
    """The lines that are translated."""
    sentences = text.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    return (f"{number}. {sentences[number % len(sentences)]}" for number in range(lines))


def feed(stream: IO[str], text: Path, lines: int) -> None:
    """Write the lines into the pipe, which stops the writer when it is full."""
    with stream:
        stream.writelines(line + "\n" for line in numbered(text, lines))


def resident(process: int) -> int:
    """Resident memory in kB; 0 if the process has gone."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")), 0)


if __name__ == "__main__":
    sys.exit(main())
