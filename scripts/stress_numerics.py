"""Train a small student for many updates, and look at every loss, gradient norm and precision: all must be finite.

    python scripts/stress_numerics.py [--updates 10000] [--members 3] [--folder DIR]

The task is copying letters, made on the fly, which the members learn so well that they are sure and all but agree: where
targets are sharpest and their precision is largest. Members and student are trained by fairseq's own trainer on one thread
of the processor, with the same seeds every time. Prints the smallest and largest values ten times on the way; the exit
status is 1 if a value or a weight of the trained student is not finite, or if the training ends early.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ednd_nmt.errors import exit_status
from ednd_nmt.option_types import at_least
from scripts.own_folder import claim

ROOT = Path(__file__).resolve().parents[1]
LETTERS = "abcdefghijklmnopqrstuvwx"
VALUES = ("loss", "gnorm", "teacher_precision", "student_precision")
"""What fairseq logs of an update: nats per token, the norm of the gradient, and mean precisions of the batch's tokens."""
LAST = "checkpoint_last.pt"
LANGUAGES = ("--source-lang", "src", "--target-lang", "tgt")
NETWORK = (
    "--encoder-layers", "1", "--decoder-layers", "1", "--encoder-embed-dim", "32", "--encoder-ffn-embed-dim", "64",
    "--encoder-attention-heads", "2", "--decoder-attention-heads", "2", "--share-all-embeddings", "--dropout", "0.1",
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--updates", type=at_least(1), default=10_000, help="of the student (default: %(default)s)"
    )
    parser.add_argument("--members", type=at_least(1), default=3)
    parser.add_argument(
        "--member-updates", type=at_least(1), default=1500, help="of each member (default: %(default)s)"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        help="new, or of an earlier run: for everything that is written (default: a temporary one)",
    )
    args = parser.parse_args()
    return exit_status(lambda: run(args))


def run(args: argparse.Namespace) -> int:
    """Train members and student; the exit status of this script.

    Raises:
        UserError: the folder holds what is not of this script.
        SystemExit: something is not finite, or a training failed.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = (args.folder or Path(temporary)).resolve()  # the trainings run in it
        claim(folder, "stress_numerics")
        prepare(folder)
        members = [member(folder, seed, args.member_updates) for seed in range(1, args.members + 1)]
        return stress(folder, members, args.updates)


def prepare(folder: Path) -> None:
    """Binarised data of the copying task, in ``data``."""
    generator = random.Random(1)
    for split, count in (("train", 2000), ("valid", 50)):
        lines = [" ".join(generator.choices(LETTERS, k=generator.randint(2, 8))) for _ in range(count)]
        for side in ("src", "tgt"):
            (folder / f"{split}.{side}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    words = ["preprocess", *LANGUAGES, "--joined-dictionary", "--trainpref", "train", "--validpref", "valid"]
    for _ in output(folder, [*words, "--destdir", "data"]):
        pass


def member(folder: Path, seed: int, updates: int) -> Path:
    """Train a member of the ensemble; its checkpoint."""
    options = ["--arch", "transformer", "--criterion", "cross_entropy", "--seed", str(seed)]
    for _ in training(folder, f"member-{seed}", options, updates):
        pass
    return folder / f"member-{seed}" / LAST


def training(folder: Path, name: str, options: Sequence[str], updates: int) -> Generator[str, None, None]:
    """Train a model from the beginning into the folder ``name``; what is logged, with a line of JSON for every update."""
    shutil.rmtree(folder / name, ignore_errors=True)
    return output(folder, [
        "train", "data", *LANGUAGES, *NETWORK, *options, "--max-update", str(updates), "--save-dir", name, "--cpu",
        "--optimizer", "adam", "--adam-betas", "(0.9, 0.98)", "--lr", "2e-3", "--lr-scheduler", "inverse_sqrt",
        "--warmup-updates", "100", "--clip-norm", "1", "--max-tokens", "200", "--num-workers", "0", "--disable-validation",
        "--no-epoch-checkpoints", "--log-format", "json", "--log-interval", "1",
    ])  # fmt: skip


def output(folder: Path, words: Sequence[str]) -> Generator[str, None, None]:
    """The lines that ``ednd-nmt`` prints, as they come.

    Raises:
        SystemExit: it fails; what it said last is the reason.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "ednd_nmt", *words], cwd=folder, env=environment, text=True, encoding="utf-8",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    last = ""
    try:
        for line in process.stdout:
            last = line.strip() or last
            yield line
        if process.wait() != 0:
            raise SystemExit(f"ednd-nmt {words[0]} ended with status {process.returncode}: {last}")
    finally:  # also where the caller has seen enough
        process.kill()
        process.wait()


def statistics(line: str) -> Mapping[str, str] | None:
    """What a line of fairseq's log says of one update; None for any other line."""
    _, _, text = line.rpartition(" | ")
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "num_updates" in found else None


class Extremes:
    """The smallest and the largest of each value so far."""

    def __init__(self) -> None:
        self.updates = 0
        self._range: dict[str, tuple[float, float]] = {}

    def add(self, update: Mapping[str, str]) -> None:
        """One more update.

        Raises:
            SystemExit: one of its values is missing or not finite, or an update before it is missing.
        """
        self.updates += 1
        if int(update["num_updates"]) != self.updates:
            raise SystemExit(f"update {self.updates} is missing: the next is {update['num_updates']}")
        for name in VALUES:
            value = float(update.get(name, "nan"))
            if not math.isfinite(value):
                raise SystemExit(f"update {self.updates}: {name} is {update.get(name, 'missing')}")
            low, high = self._range.get(name, (value, value))
            self._range[name] = min(low, value), max(high, value)

    def __str__(self) -> str:
        return ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in self._range.items())


def stress(folder: Path, members: Sequence[Path], updates: int) -> int:
    """Train the student and watch it; the exit status of this script.

    Raises:
        SystemExit: something is not finite, or the training failed.
    """
    options = ["--task", "distillation", "--ensemble-paths", ":".join(map(str, members)), "--seed", "7"]
    options += ["--arch", "dirichlet_transformer", "--criterion", "rkl_dirichlet_proxy_distillation"]
    options += ["--diagnostics-interval", "1"]
    seen, started = Extremes(), time.monotonic()
    with contextlib.closing(training(folder, "student", options, updates)) as lines:
        for update in filter(None, map(statistics, lines)):
            seen.add(update)
            if seen.updates % max(1, updates // 10) == 0:
                print(f"{seen.updates:,} updates, {time.monotonic() - started:.0f} s: {seen}", flush=True)
    if seen.updates != updates:
        raise SystemExit(f"the training ended after {seen.updates:,} of {updates:,} updates")
    if broken := not_finite(folder / "student" / LAST):
        raise SystemExit(f"weights of the student are not finite: {', '.join(broken)}")
    print(f"all {updates:,} updates and every weight finite, {time.monotonic() - started:.0f} s")
    return 0


def not_finite(checkpoint: Path) -> list[str]:
    """Names of the weights that hold NaN or an infinity."""
    import torch

    from ednd_nmt.compat.checkpoints import read_checkpoint

    weights = read_checkpoint(checkpoint)["model"]
    return [name for name, values in weights.items() if not torch.isfinite(values).all()]


if __name__ == "__main__":
    sys.exit(main())
