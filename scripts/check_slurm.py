"""Run the workflow on a real Slurm on this machine, kill a member in the middle of its training, and run it again.

    python -m scripts.check_slurm --out runs/slurm [--configfile examples/debian_ende/config/quick.yaml] [--kill 2]

The first run must lose the one member and train all others; the second, the same command, must go on from that member's
last checkpoint, leave alone what the first had made (times of modification), and come to the results. All is submitted by
Snakemake's own Slurm executor, with the profile examples/debian_ende/profiles/slurm. The exit status is 1 if anything is
otherwise. The Slurm (see :mod:`scripts.local_slurm`) is gone afterwards.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import yaml  # type: ignore[import-untyped]

from .local_slurm import LocalSlurm, SlurmError, ended_by_signals

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "debian_ende"
POLL_SECONDS = 0.5
RESUMED = "Loaded checkpoint"  # in the log of a training that goes on


class FaultError(Exception):
    """Something is not as it must be."""


class Check:
    """Both runs and what is compared between them.

    Args:
        slurm: runs already.
        configuration: of the workflow.
        folder: where it works.
        member: number of the member that is killed.
    """

    def __init__(self, slurm: LocalSlurm, configuration: Path, folder: Path, member: int) -> None:
        self._slurm, self._folder, self._member = slurm, folder, member
        self._command = [
            sys.executable, "-m", "snakemake", "--snakefile", str(EXAMPLE / "Snakefile"),
            "--configfile", str(configuration), "--profile", str(EXAMPLE / "profiles" / "slurm"),
            "--directory", str(folder), "--nolock", "--quiet", "all", "--latency-wait", "5",
            # There is no accounting database, and nobody else whom frequent questions would disturb.
            "--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1",
        ]  # fmt: skip
        self._states: dict[str, str] = {}

    def first_run(self) -> None:
        """Ends without the member that is killed after its first checkpoint."""
        checkpoint = self._folder / "members" / str(self._member) / "checkpoints" / "checkpoint_last.pt"
        killed: list[str] = []

        def kill(jobs: dict[str, str]) -> None:
            wanted = f"rule_member_wildcards_{self._member}"
            job = next((job for job, name in jobs.items() if name == wanted), None)
            if job and not killed and self._states[job] == "RUNNING" and checkpoint.exists():
                print(f"check: kill -9 to all processes of job {job}, member {self._member}", flush=True)
                command = ["scancel", "--full", "--signal=KILL", job]
                subprocess.run(command, env=self._slurm.environment, check=True)
                killed.append(job)

        status = self._run(kill)
        if not killed:
            raise FaultError(f"member {self._member} had ended before it could be killed in the middle")
        if status == 0:
            raise FaultError("the run in which a member was killed says that it succeeded")
        if self._model(self._member).exists():
            raise FaultError(f"there is a model of member {self._member}, which was killed")

    def second_run(self, members: int) -> None:
        """Ends with the results; the other members are those of the first run."""
        others = [number for number in range(1, members + 1) if number != self._member]
        lost = [number for number in others if not self._model(number).exists()]
        if lost:
            raise FaultError(f"the first run did not train member {lost[0]}, which nobody had killed")
        made = [self._folder / "pieces" / "spm.model", *map(self._model, others)]
        before = {path: path.stat().st_mtime_ns for path in made}
        if self._run(lambda jobs: None) != 0:
            raise FaultError("the second run failed")
        for path, modified in before.items():
            if path.stat().st_mtime_ns != modified:
                raise FaultError(f"{path.relative_to(self._folder)} was made again")
            print(f"check: {path.relative_to(self._folder)} is as it was")
        log = self._folder / "logs" / f"member-{self._member}.log"
        resumed = [line for line in log.read_text(encoding="utf-8").splitlines() if RESUMED in line]
        if not resumed:
            raise FaultError(f"member {self._member} began again instead of going on from its checkpoint")
        print(f"check: {resumed[-1].strip()}")
        if not (self._folder / "results.json").exists():
            raise FaultError("there are no results")

    def _run(self, look: Callable[[dict[str, str]], None]) -> int:
        """Run the workflow; its status. ``look`` gets the jobs again and again, and the rule of each."""
        with subprocess.Popen(self._command, env=self._slurm.environment) as snakemake:
            try:
                while snakemake.poll() is None:
                    look(self._jobs())
                    time.sleep(POLL_SECONDS)
            except BaseException:
                snakemake.terminate()
                raise
        self._jobs()
        return snakemake.returncode

    def _jobs(self) -> dict[str, str]:
        """The rule of each job, by the jobs' numbers; what changed in the queue is printed."""
        queue = self._slurm.output("squeue", "--noheader", "--states=all", "--format=%i|%T|%k")
        jobs: dict[str, str] = {}
        for line in queue.splitlines():
            job, state, jobs[job] = line.split("|", 2)
            if self._states.get(job) != state:
                print(f"queue: job {job} {state.lower()}, {jobs[job]}", flush=True)
                self._states[job] = state
        return jobs

    def _model(self, member: int) -> Path:
        return self._folder / "members" / str(member) / "model.pt"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="new folder for the workflow")
    parser.add_argument("--configfile", type=Path, default=EXAMPLE / "config" / "quick.yaml")
    parser.add_argument("--kill", type=int, default=2, metavar="MEMBER", help="(default: %(default)s)")
    parser.add_argument(
        "--cpus", type=int, help="what the node pretends to have (default: those of the machine)"
    )
    options = parser.parse_args()
    members = int(yaml.safe_load(options.configfile.read_text(encoding="utf-8"))["members"])
    if not 1 <= options.kill <= members:
        parser.error(f"--kill needs one of the members, a number from 1 to {members}")
    if (options.out / "members").exists():
        parser.error(f"{options.out} has members already; name a new folder")
    options.out.mkdir(parents=True, exist_ok=True)
    ended_by_signals()
    try:
        with LocalSlurm(options.cpus) as slurm:
            # For the rules' shells: the programs of this environment.
            path = [str(Path(sys.executable).parent), slurm.environment["PATH"]]
            slurm.environment["PATH"] = os.pathsep.join(path)
            check = Check(slurm, options.configfile.resolve(), options.out.resolve(), options.kill)
            check.first_run()
            check.second_run(members)
            print("check: Slurm's accounting")
            print(slurm.output("sacct", "--completion", "--format=JobID,State,Partition,End"))
    except SlurmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except FaultError as fault:
        print(f"FAULT: {fault}", file=sys.stderr)
        return 1
    print("check: all is well")
    return 0


if __name__ == "__main__":
    sys.exit(main())
