"""A real Slurm of one node on this machine, for as long as one command runs.

    python -m scripts.local_slurm -- srun --ntasks 2 hostname

It needs Slurm's programs and munge (Debian: apt-get install slurmctld slurmd slurm-client munge), whose services need not
run; what they have in /etc is not read. Configuration, key, sockets and state are in a temporary folder, which is removed
at the end with every process that was started. Any user may do this, root as well. Finished jobs stay in the queue's memory
(``squeue --states all``) and are written to the accounting of :attr:`LocalSlurm.accounting`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from .workflow.progress import without_dashes

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "squeue", "scontrol")
# Of Debian, which leaves the services out of the PATH of ordinary users.
PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
START_SECONDS = 300.0
STOP_SECONDS = 20.0


class SlurmError(Exception):
    """Slurm is not installed or does not start; the message says what to do."""


CONFIGURATION = """\
ClusterName=local
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
MpiDefault=none
# Nothing of the kernel is asked for that a container may not have.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/accounting
# Finished jobs are remembered, so that squeue can be asked what became of them.
MinJobAge=86400
DefMemPerCPU={memory_per_cpu}
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=local Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


class LocalSlurm:
    """A controller and a node, as a context manager.

    Args:
        cpus: what the node pretends to have; as many as the machine if not given.

    Attributes:
        folder: of configuration and logs, while it runs.
        environment: of commands that are to use this Slurm.

    Raises:
        SlurmError: a program is missing, or a service does not start; its last lines are in the message.
    """

    def __init__(self, cpus: int | None = None) -> None:
        self._cpus = cpus or os.cpu_count() or 1
        missing = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
        if missing:
            raise SlurmError(
                f"Slurm is not installed, or only in part ({', '.join(missing)} not found); "
                "on Debian: apt-get install slurmctld slurmd slurm-client munge."
            )
        self.folder = Path()
        self.environment = {**os.environ, "PATH": PATH}
        self._services: list[tuple[str, subprocess.Popen[bytes]]] = []

    @property
    def accounting(self) -> Path:
        """One line for each job that has ended."""
        return self.folder / "accounting"

    def __enter__(self) -> LocalSlurm:
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-"))
        self.folder.chmod(0o711)  # munged refuses a socket that is not within everybody's reach
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def output(self, *command: str) -> str:
        """Standard output of one of Slurm's commands; empty if it fails."""
        result = subprocess.run(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        return result.stdout if result.returncode == 0 else ""

    def _start(self) -> None:
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        self._run(
            "munged", "--foreground", f"--key-file={key}", f"--socket={self.folder}/munge.socket",
            f"--pid-file={self.folder}/munged.pid", f"--seed-file={self.folder}/munge.seed",
            f"--log-file={self.folder}/munged.log", "--num-threads=2",
        )  # fmt: skip
        self._wait("munged", (self.folder / "munge.socket").exists)

        host = socket.gethostname().partition(".")[0]
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
        with free_port() as controller_port, free_port() as node_port:
            ports = {"controller_port": controller_port, "node_port": node_port}
        configuration = self.folder / "slurm.conf"
        configuration.write_text(
            CONFIGURATION.format(
                host=host, user=pwd.getpwuid(os.geteuid()).pw_name, folder=self.folder, cpus=self._cpus,
                memory=memory, memory_per_cpu=memory // self._cpus, **ports,
            ),
            encoding="utf-8",
        )  # fmt: skip
        self._find_configuration(configuration)
        self._run("slurmctld", "-D", "-f", str(configuration))
        self._run("slurmd", "-D", "-f", str(configuration), "-N", host)
        self._wait(
            "slurmd", lambda: self.output("sinfo", "--noheader", "--format=%T").strip() in ("idle", "mixed")
        )

    def _find_configuration(self, configuration: Path) -> None:
        """Tell Slurm's commands; srun by a wrapper as well, since Snakemake's executor drops the variable within a job."""
        self.environment["SLURM_CONF"] = str(configuration)
        srun = self.folder / "bin" / "srun"
        srun.parent.mkdir()
        real = shutil.which("srun", path=self.environment["PATH"])
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={configuration} exec {real} "$@"\n', encoding="utf-8")
        srun.chmod(0o755)
        self.environment["PATH"] = os.pathsep.join([str(srun.parent), self.environment["PATH"]])

    def _run(self, *command: str) -> None:
        with open(self.folder / f"{command[0]}.output", "wb") as log:
            process = subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True,  # an interrupt of the terminal is for the command, and services end after it
            )  # fmt: skip
        self._services.append((command[0], process))

    def _wait(self, name: str, ready: Callable[[], bool]) -> None:
        end = time.monotonic() + START_SECONDS
        while not ready():
            dead = next((service for service, process in self._services if process.poll() is not None), None)
            if dead or time.monotonic() > end:
                raise SlurmError(f"{dead or name} does not start:\n{self._last_lines(dead or name)}")
            time.sleep(0.1)

    def _last_lines(self, name: str) -> str:
        logs = [self.folder / f"{name}.output", self.folder / f"{name}.log"]
        lines = [
            line for log in logs if log.exists() for line in log.read_text(errors="replace").splitlines()
        ]
        return "\n".join(f"    {line}" for line in lines[-15:])

    def _stop(self) -> None:
        if "SLURM_CONF" in self.environment:
            self.output("scancel", "--user", pwd.getpwuid(os.geteuid()).pw_name)
            end = time.monotonic() + STOP_SECONDS
            while self.output("squeue", "--noheader").strip() and time.monotonic() < end:
                time.sleep(0.2)
        for _, process in reversed(self._services):
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        # Of a job that did not end, or of a service that was killed: no other process knows of this folder.
        for pid in _processes_with(f"SLURM_CONF={self.folder}/slurm.conf"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def free_port() -> Iterator[int]:
    """A port of this machine that nobody has; it is kept until the context is left, so that the next one is another."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield probe.getsockname()[1]


def _processes_with(variable: str) -> list[int]:
    """Processes, but this one, that were started with ``NAME=value`` in their environment, as /proc has it."""
    wanted = variable.encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if wanted in entry.read_bytes().split(b"\0") and int(entry.parent.name) != os.getpid():
                found.append(int(entry.parent.name))
    return found


def ended_by_signals() -> None:
    """Have SIGTERM and SIGHUP raise ``SystemExit``, so that contexts are left properly."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--cpus", type=int, help="what the node pretends to have (default: those of the machine)"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help="-- and the command")
    options = parser.parse_args()
    command = without_dashes(options.command)
    if not command:
        parser.error("no command given after --")
    ended_by_signals()
    try:
        with LocalSlurm(options.cpus) as slurm:
            return subprocess.run(command, env=slurm.environment).returncode
    except SlurmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
