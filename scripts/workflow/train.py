"""Train one model with the stock ``fairseq-train``, going on where an interrupted training was.

    python -m scripts.workflow.train --stage "member 1" --log LOG --work DIR --output model.pt --keep best \\
        --inputs FILE ... -- fairseq-train DATA ...

The checkpoints live in ``--work``, which belongs to this training alone; the one that is kept is copied to
``--output`` at the end. They are used again only by the same command on the same inputs: a training resumed
with other settings or data would be neither the old experiment nor the new one.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from ednd_nmt.errors import UserError, exit_status
from ednd_nmt.files import atomic_writer, checksum, whole_file

from . import progress

FINGERPRINT = "made-from.json"
FINISHED = "finished"
WITHOUT_CHECKPOINT = {
    "best": "let it validate, or choose keep: last",
    "last": "let it save one, without --no-save and --no-last-checkpoints",
}
"""What to do where fairseq has not written the checkpoint that is kept."""


def fingerprint(command: Sequence[str], inputs: Iterable[Path]) -> str:
    """The command and the SHA-256 of every input file, as JSON."""
    digests = {str(path): checksum(path) for path in inputs}
    return json.dumps({"command": list(command), "inputs": digests}, indent=1)


def prepare(work: Path, made_from: str) -> None:
    """Empty ``work`` unless its checkpoints were made from the same command and inputs."""
    record = work / FINGERPRINT
    if record.is_file() and record.read_text(encoding="utf-8") == made_from:
        return  # not written again: a disk that is full by now would take the checkpoints with it
    if work.exists():
        shutil.rmtree(work)
    work.mkdir(parents=True)
    with atomic_writer(record) as stream:
        stream.write(made_from)


def publish(checkpoint: Path, output: Path) -> None:
    """Copy ``checkpoint`` to ``output``, which appears whole or not at all."""
    with whole_file(output) as partial:
        shutil.copyfile(checkpoint, partial)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--stage", required=True, help="what the terminal calls this training")
    parser.add_argument("--log", required=True, type=Path, help="file that takes the complete log")
    parser.add_argument("--work", required=True, type=Path, help="folder of the checkpoints")
    parser.add_argument("--output", required=True, type=Path, help="the trained model")
    parser.add_argument("--keep", choices=["best", "last"], required=True, help="checkpoint that is kept")
    parser.add_argument(
        "--inputs", nargs="+", required=True, type=Path, help="files that the result depends on"
    )
    parser.add_argument("--user-dir", required=True, help="for fairseq; its place changes nothing")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="-- and the fairseq-train command")
    options = parser.parse_args()
    return exit_status(lambda: train(options, progress.without_dashes(options.command)))


def train(options: argparse.Namespace, command: Sequence[str]) -> int:
    """Run the training unless it has ended already, and publish its checkpoint; the exit status.

    Raises:
        UserError: fairseq has not written the checkpoint that is to be kept.
    """
    prepare(options.work, fingerprint(command, options.inputs))
    finished = options.work / FINISHED
    if not finished.exists():
        whole = [
            *command,
            "--user-dir",
            options.user_dir,
            "--save-dir",
            str(options.work),
            "--log-format",
            "json",
        ]
        status = progress.run(options.stage, whole, options.log, progress.meter_for(whole, None))
        if status:
            return status if status > 0 else 128 - status
    checkpoint = options.work / f"checkpoint_{options.keep}.pt"
    if not checkpoint.is_file():
        raise UserError(f"fairseq kept no {checkpoint.name}; {WITHOUT_CHECKPOINT[options.keep]}.")
    finished.touch()
    publish(checkpoint, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
