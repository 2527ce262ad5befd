"""Kill commands with ``kill -9`` at random moments, run them again, and compare what comes out with an undisturbed run.

    python scripts/check_crash_safety.py --source test.en --target test.de --folder /tmp/crash [--kills 10]

Two parallel texts are all that is needed. The stages are those of the quick start, in small: pieces, data, member, transfer
(the member's translations and the student's data), student, model (its folder), generate (an uncertainty file by
fairseq-generate), and then translate, score, shift, evaluate and report. A stage reads what the ones before it have made
undisturbed; --model and --records stand in for a trained model folder and an uncertainty file.

Every stage is run once undisturbed. Then it is started and killed, with all its processes, again and again, and at last left
alone. After every kill each output file must be absent or whole; at the end all must be there, byte by byte the same, and
nothing beside them. Of a model the weights are compared: its checkpoint also holds how long the training took. The exit
status is 1 if anything differs.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ednd_nmt.errors import exit_status
from ednd_nmt.option_types import at_least
from scripts.own_folder import claim

ROOT = Path(__file__).resolve().parents[1]
BUFFER = (
    "16"  # sentences from one point of return to the next: small, so that kills fall on either side of many
)
PIECES = 400
UPDATES = 30
UNFINISHED = (".partial", ".unordered", ".tmp")
"""In the names of files that a stage may leave behind when it is killed."""
OF_THE_STAGE = ("work", ".log")
"""Folders and kinds of files that only the stage itself reads, or nobody."""

Command = list[str]

LANGUAGES = ["--source-lang", "en", "--target-lang", "de"]
SEARCH = [
    "--beam",
    "2",
    "--max-len-a",
    "1",
    "--max-len-b",
    "5",
    "--cpu",
    "--required-batch-size-multiple",
    "1",
]
NETWORK = [
    "--encoder-layers", "1", "--decoder-layers", "1", "--encoder-embed-dim", "16", "--encoder-ffn-embed-dim", "32",
    "--encoder-attention-heads", "2", "--decoder-attention-heads", "2", "--share-all-embeddings", "--dropout", "0.1",
]  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """Commands, one after the other, that write everything into the folder they are given."""

    name: str
    commands: Callable[[Path], list[Command]]


class Stages:
    """The stages in order; each is a method that gives its commands.

    Args:
        options: those of this script.
    """

    NAMES = (
        "pieces", "data", "member", "transfer", "student", "model", "generate", "translate", "score", "shift", "evaluate",
        "report",
    )  # fmt: skip

    def __init__(self, options: argparse.Namespace) -> None:
        made = {name: options.folder / name / "whole" for name in self.NAMES}
        self._texts = {"en": options.source, "de": options.target}
        self._cut, self._data, self._transfer = (
            made["pieces"],
            made["data"] / "data",
            made["transfer"] / "data",
        )
        self._member, self._student = made["member"] / "model.pt", made["student"] / "model.pt"
        self._model = options.model or made["model"] / "packed"
        self._records = options.records or made["generate"] / "valid.jsonl"

    def chosen(self, names: Sequence[str]) -> list[Stage]:
        """Some of the stages."""
        return [Stage(name, getattr(self, name)) for name in self.NAMES if name in names]

    def pieces(self, out: Path) -> list[Command]:
        texts, model = map(str, self._texts.values()), f"{out}/spm.model"
        name = "scripts.workflow.pieces"
        return [
            module(name, "learn", "--size", str(PIECES), "--output", model, *texts),
            module(name, "dictionary", "--model", model, "--output", f"{out}/dict.txt"),
            *[
                module(
                    name,
                    "encode",
                    "--model",
                    model,
                    "--language",
                    side,
                    "--output",
                    f"{out}/text.{side}",
                    str(text),
                )
                for side, text in self._texts.items()
            ],
        ]

    def data(self, out: Path) -> list[Command]:
        return [self._binarise(self._cut / "text", out)]

    def member(self, out: Path) -> list[Command]:
        return [self._train(self._data, out, "--arch", "transformer", "--criterion", "cross_entropy")]

    def transfer(self, out: Path) -> list[Command]:
        shard = f"{out}/shard.txt"
        search = generate(self._data, "--path", str(self._member), "--gen-subset", "train")
        source = f"{self._cut}/text.en"
        return [
            logged(out, search, "--output", shard),
            module(
                "scripts.workflow.transfer", "--source", source, *LANGUAGES, "--output", f"{out}/train", shard
            ),
            self._binarise(out / "train", out),
        ]

    def student(self, out: Path) -> list[Command]:
        options = ["--task", "distillation", "--ensemble-paths", f"{self._member}:{self._member}"]
        options += ["--arch", "dirichlet_transformer", "--criterion", "rkl_dirichlet_proxy_distillation"]
        return [self._train(self._transfer, out, *options)]

    def model(self, out: Path) -> list[Command]:
        options = [
            "--checkpoint",
            str(self._student),
            "--data",
            str(self._data),
            "--pieces",
            f"{self._cut}/spm.model",
        ]
        return [
            ednd_nmt("pack", *LANGUAGES, *options, "--weights", "safetensors", "--output", f"{out}/packed")
        ]

    def generate(self, out: Path) -> list[Command]:
        options = [
            "--task",
            "distillation",
            "--path",
            str(self._student),
            "--gen-subset",
            "valid",
            "--batch-size",
            "8",
        ]
        options += ["--bpe", "sentencepiece", "--sentencepiece-model", f"{self._cut}/spm.model"]
        return [logged(out, generate(self._data, *options, "--uncertainty-output", f"{out}/valid.jsonl"))]

    def translate(self, out: Path) -> list[Command]:
        return [self._through_model("translate", out, "--input", str(self._texts["en"]))]

    def score(self, out: Path) -> list[Command]:
        source, target = map(str, self._texts.values())
        return [self._through_model("score", out, "--source", source, "--target", target)]

    def shift(self, out: Path) -> list[Command]:
        source, target = map(str, self._texts.values())
        return [ednd_nmt("shift", source, "--target", target, "--output", str(out))]

    def evaluate(self, out: Path) -> list[Command]:
        return [self._figures("evaluate", "--json", f"{out}/r.json", "--markdown", f"{out}/r.md")]

    def report(self, out: Path) -> list[Command]:
        return [self._figures("report", "--output", f"{out}/report.html")]

    def _binarise(self, text: Path, out: Path) -> Command:
        """fairseq's data: the text to train with, and all pieces to validate and translate with."""
        options = [
            "--dictionary",
            f"{self._cut}/dict.txt",
            "--train",
            str(text),
            "--valid",
            f"{self._cut}/text",
        ]
        return module("scripts.workflow.binarise", *LANGUAGES, *options, "--output", f"{out}/data")

    def _train(self, data: Path, out: Path, *options: str) -> Command:
        """A training as the workflow runs it, which goes on from its last checkpoint."""
        return module(
            "scripts.workflow.train", "--stage", "training", "--log", f"{out}/training.log", "--work", f"{out}/work",
            "--keep", "last", "--output", f"{out}/model.pt", "--user-dir", str(ROOT / "ednd_nmt"),
            "--inputs", *map(str, sorted(data.iterdir())), "--",
            *ednd_nmt("train", str(data)), *LANGUAGES, *options, *NETWORK, "--optimizer", "adam", "--lr", "0.001",
            "--cpu", "--max-tokens", "400", "--max-update", str(UPDATES), "--save-interval-updates", "3",
            "--keep-interval-updates", "2", "--disable-validation", "--no-epoch-checkpoints", "--seed", "1",
            "--num-workers", "0",
        )  # fmt: skip

    def _through_model(self, command: str, out: Path, *options: str) -> Command:
        common = ["--model", str(self._model), "--buffer-size", BUFFER, "--format", "jsonl", "--quiet"]
        return ednd_nmt(command, *common, *options, "--output", f"{out}/out.jsonl")

    def _figures(self, command: str, *options: str) -> Command:
        return ednd_nmt(
            command, f"system={self._records}", "--resamples", "200", "--measures", "sTU", *options
        )


def ednd_nmt(*arguments: str) -> Command:
    """``ednd-nmt ...``"""
    return module("ednd_nmt", *arguments)


def module(name: str, *arguments: str) -> Command:
    """``python -m name ...``"""
    return [sys.executable, "-m", name, *arguments]


def generate(data: Path, *options: str) -> Command:
    """fairseq-generate on binarised data."""
    return ednd_nmt("generate", str(data), *LANGUAGES, *SEARCH, *options)


def logged(out: Path, command: Command, *options: str) -> Command:
    """A command as the workflow runs it, its log in a file."""
    log = ["--stage", "translation", "--log", f"{out}/translation.log"]
    return module("scripts.workflow.progress", *log, *options, "--", *command)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", type=Path, required=True, help="raw text, at least some dozen lines")
    parser.add_argument("--target", type=Path, required=True, help="its translation, line by line")
    parser.add_argument(
        "--folder", type=Path, required=True, help="new, or of an earlier run: for everything that is written"
    )
    parser.add_argument("--model", type=Path, help="model folder, for translate and score")
    parser.add_argument(
        "--records", type=Path, help="uncertainty file with references, for evaluate and report"
    )
    parser.add_argument("--stages", help="some of them, separated by commas (default: all)")
    parser.add_argument("--kills", type=at_least(1), default=4, help="of every stage (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    for name in ("source", "target", "folder", "model", "records"):  # the commands run elsewhere
        setattr(args, name, getattr(args, name) and getattr(args, name).resolve())
    names = args.stages.split(",") if args.stages else Stages.NAMES
    if unknown := set(names) - set(Stages.NAMES):
        parser.error(f"no stage {', '.join(sorted(unknown))}; there are {', '.join(Stages.NAMES)}")
    return exit_status(lambda: check(args, names))


def check(args: argparse.Namespace, names: Sequence[str]) -> int:
    """Run the named stages; the exit status of this script.

    Raises:
        UserError: the folder holds what is not of this script.
    """
    claim(args.folder, "check_crash_safety")
    generator = random.Random(args.seed)
    faults = 0
    for stage in Stages(args).chosen(names):
        faults += not survives(stage, args.folder / stage.name, args.kills, generator)
    return min(faults, 1)


def survives(stage: Stage, folder: Path, kills: int, generator: random.Random) -> bool:
    """Whether the stage gives the same files with and without kills; says so."""
    shutil.rmtree(folder, ignore_errors=True)
    whole, tried = folder / "whole", folder / "tried"
    for out in (whole, tried):
        out.mkdir(parents=True)
    started = time.monotonic()
    if not run(stage, whole, None):
        print(f"{stage.name}: the undisturbed run failed")
        return False
    duration = undisturbed = time.monotonic() - started
    expected = contents(whole)
    seen_unfinished = killed = 0
    while killed < kills:
        started = time.monotonic()
        finished = run(stage, tried, generator.uniform(0.1, 1.0) * duration)
        if finished:  # the machine has less to do than it had: later kills must come sooner
            duration = min(duration, time.monotonic() - started)
        found = contents(tried)
        if finished is None:
            killed += 1
        seen_unfinished += any(is_unfinished(name) for name in found)
        half = [
            name for name, data in found.items() if not is_unfinished(name) and data != expected.get(name)
        ]
        if half:
            print(f"{stage.name}: {', '.join(half)} differ after kill {killed}")
            return False
        if finished is not None:  # done before its time, or failed: from the beginning again
            if not finished:
                print(f"{stage.name}: failed after kill {killed}")
                return False
            shutil.rmtree(tried)
            tried.mkdir()
    if not run(stage, tried, None) or contents(tried) != expected:
        print(f"{stage.name}: other files than without kills, after {killed} kills")
        return False
    print(
        f"{stage.name}: the same {len(expected)} files ({sum(map(len, expected.values())):,} bytes) after {killed} kills, "
        f"{seen_unfinished} of them in the middle of a file (undisturbed: {undisturbed:.1f} s)",
        flush=True,
    )
    return True


def run(stage: Stage, out: Path, seconds: float | None) -> bool | None:
    """Run the commands of a stage: whether all succeeded, or None if they were killed after so many seconds."""
    end = None if seconds is None else time.monotonic() + seconds
    for command in stage.commands(out):
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # fairseq's commands
            "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
            "OMP_NUM_THREADS": "1",
        }
        process = subprocess.Popen(
            command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True
        )
        try:
            status = process.wait(None if end is None else max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return None
        if status != 0:
            return False
    return True


def is_unfinished(name: str) -> bool:
    """Whether a file says by its name that it is not finished."""
    return any(part in name for part in UNFINISHED)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file in the folder that is somebody's output; of a checkpoint its weights."""
    found = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and parts[0] not in OF_THE_STAGE and path.suffix not in OF_THE_STAGE:
            found["/".join(parts)] = weights(path) if path.suffix == ".pt" else path.read_bytes()
    return found


def weights(path: Path) -> bytes:
    """The bytes of all weights of a checkpoint."""
    from ednd_nmt.compat.checkpoints import read_checkpoint

    model = read_checkpoint(path)["model"]
    return b"".join(name.encode() + model[name].numpy().tobytes() for name in sorted(model))


if __name__ == "__main__":
    sys.exit(main())
