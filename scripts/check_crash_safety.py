"""Kill commands with ``kill -9`` at random moments, run them again, and compare what comes out with an undisturbed run.

    python scripts/check_crash_safety.py --model runs/quick/student --source test.en --target test.de --folder /tmp/crash

Every stage (translate, score, shift, evaluate, report) is run once undisturbed. Then it is started and killed again and
again, and at last left alone. After every kill each output file must be absent or whole; at the end all must be there, byte
by byte the same, and nothing beside them. The exit status is 1 if anything differs.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUFFER = (
    "16"  # sentences from one point of return to the next: small, so that kills fall on either side of many
)


@dataclass(frozen=True)
class Stage:
    """A command that writes everything into the folder it is given."""

    name: str
    arguments: Callable[[Path], list[str]]


def stages(model: Path, source: Path, target: Path, records: Path) -> list[Stage]:
    """The stages, on a model folder, a test set, and an uncertainty file (that of the stage translate)."""
    text = ["--model", str(model), "--buffer-size", BUFFER, "--format", "jsonl", "--quiet"]
    figures = [f"system={records}", "--resamples", "200", "--measures", "sTU"]
    return [
        Stage("translate", lambda out: [*text, "--input", str(source), "--output", f"{out}/out.jsonl"]),
        Stage(
            "score",
            lambda out: [
                *text,
                "--source",
                str(source),
                "--target",
                str(target),
                "--output",
                f"{out}/out.jsonl",
            ],
        ),
        Stage("shift", lambda out: [str(source), "--target", str(target), "--output", str(out)]),
        Stage("evaluate", lambda out: [*figures, "--json", f"{out}/r.json", "--markdown", f"{out}/r.md"]),
        Stage("report", lambda out: [*figures, "--output", f"{out}/report.html"]),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--source", type=Path, required=True, help="raw text")
    parser.add_argument("--target", type=Path, required=True, help="its translation, line by line")
    parser.add_argument(
        "--records", type=Path, help="uncertainty file with references, for evaluate and report"
    )
    parser.add_argument("--folder", type=Path, required=True, help="for everything that is written")
    parser.add_argument("--stages", default="translate,score,shift,evaluate,report")
    parser.add_argument("--kills", type=int, default=4, help="of every stage (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    generator = random.Random(args.seed)
    names = args.stages.split(",")
    faults = 0
    for stage in stages(args.model, args.source, args.target, args.records or Path("no-records")):
        if stage.name in names:
            faults += not survives(stage, args.folder / stage.name, args.kills, generator)
    return min(faults, 1)


def survives(stage: Stage, folder: Path, kills: int, generator: random.Random) -> bool:
    """Whether the stage gives the same files with and without kills; says so."""
    shutil.rmtree(folder, ignore_errors=True)
    whole, tried = folder / "whole", folder / "tried"
    for out in (whole, tried):
        out.mkdir(parents=True)
    started = time.monotonic()
    if start(stage, whole).wait() != 0:
        print(f"{stage.name}: the undisturbed run failed")
        return False
    duration = time.monotonic() - started
    expected = contents(whole)
    seen_partial = 0
    killed = 0
    while killed < kills:
        process = start(stage, tried)
        try:
            process.wait(generator.uniform(0.1, 1.0) * duration)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
        found = contents(tried)
        seen_partial += any(".partial" in name for name in found)
        half = [name for name, data in found.items() if ".partial" not in name and data != expected.get(name)]
        if half:
            print(f"{stage.name}: {', '.join(half)} differ after kill {killed}")
            return False
        if process.returncode == 0:  # done before its time: from the beginning again
            shutil.rmtree(tried)
            tried.mkdir()
    if start(stage, tried).wait() != 0 or contents(tried) != expected:
        print(f"{stage.name}: other files than without kills, after {killed} kills")
        return False
    print(
        f"{stage.name}: the same {len(expected)} files ({sum(map(len, expected.values())):,} bytes) after {killed} kills, "
        f"{seen_partial} of them in the middle of a file (undisturbed: {duration:.1f} s)",
        flush=True,
    )
    return True


def start(stage: Stage, out: Path) -> subprocess.Popen[bytes]:
    """The stage, running."""
    command = [sys.executable, "-m", "ednd_nmt", stage.name, *stage.arguments(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file in the folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


if __name__ == "__main__":
    sys.exit(main())
