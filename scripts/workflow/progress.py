"""Run one stage of the workflow: its whole log in a file, one line every few seconds on the terminal.

    python -m scripts.workflow.progress --stage "member 1" --log LOG [--output FILE] -- COMMAND

The line says how far the stage is and how long it will still take, both read from what fairseq logs
(``--log-format json``). When the command fails, the end of its log and the log's place are shown.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ednd_nmt.errors import exit_status

INTERVAL_SECONDS = 15.0
POLL_SECONDS = 0.5
FAILURE_LINES = 15
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


@dataclass(frozen=True)
class State:
    """How far a stage is: ``done`` of ``total`` (0: not known) in ``unit``, and a figure worth watching."""

    done: float
    total: float
    unit: str
    note: str = ""


class Meter(Protocol):
    """Reads the lines of a log and knows how far the stage is (``None`` before the first sign)."""

    def feed(self, line: str) -> None: ...

    def state(self) -> State | None: ...


class TrainingMeter:
    """Progress of ``fairseq-train --log-format json``: updates if their end is given, epochs otherwise."""

    def __init__(self, max_update: int | None, max_epoch: int | None) -> None:
        self._max_update, self._max_epoch = max_update, max_epoch
        self._updates: float | None = None
        self._epochs: float | None = None
        self._loss = self._valid = ""

    def feed(self, line: str) -> None:
        _, separator, text = line.rpartition(" | ")
        if not separator or not text.startswith("{"):
            return
        try:
            stats: Mapping[str, object] = json.loads(text)
        except ValueError:
            return
        if "num_updates" in stats:
            self._updates, self._loss = float(str(stats["num_updates"])), f"loss {stats.get('loss', '?')}"
        if "update" in stats:
            self._epochs = float(str(stats["update"]))
        if "valid_num_updates" in stats:
            self._valid = f", valid loss {stats.get('valid_nll_loss', stats.get('valid_loss', '?'))}"

    def state(self) -> State | None:
        note = self._loss + self._valid
        if self._max_update and self._updates is not None:
            return State(self._updates, self._max_update, "updates", note)
        if self._max_epoch and self._epochs is not None:
            return State(self._epochs, self._max_epoch, "epochs", note)
        return None


class TranslationMeter:
    """Progress of ``fairseq-generate``: one line ``S-<id>`` for every source sentence that is finished."""

    def __init__(self, sentences: int) -> None:
        self._done, self._total = 0, sentences

    def feed(self, line: str) -> None:
        self._done += line.startswith("S-")

    def state(self) -> State | None:
        # Shards differ a little in size; the total is their mean.
        return State(self._done, max(self._done, self._total), "sentences") if self._done else None


class LastLineMeter:
    """Any other stage: the last line of its log is shown, which is how far it is if it reads ``<done>/<total> <unit>``."""

    def __init__(self) -> None:
        self._line = ""

    def feed(self, line: str) -> None:
        self._line = line.strip() or self._line

    def state(self) -> State | None:
        if count := re.fullmatch(r"(\d+)/(\d+) (\w+)", self._line):
            return State(float(count[1]), float(count[2]), count[3])
        return State(0, 0, "", self._line[:100]) if self._line else None


def option(command: Sequence[str], name: str) -> int | None:
    """The integer that ``command`` gives to ``name`` (``--seed 5`` or ``--seed=5``), or ``None``."""
    text = shlex.join(command)
    found = re.findall(rf"(?:^|\s){re.escape(name)}[ =](\d+)(?=\s|$)", text)
    return int(found[-1]) if found else None


def duration(seconds: float) -> str:
    """``75`` becomes ``1 min 15 s``: the unit in which one waits."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


class Clock:
    """The time left, from the speed since the first state seen (a resumed stage begins in the middle)."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._start = now, now()
        self._first: tuple[float, float] | None = None  # (time, done)

    def elapsed(self) -> float:
        return self._now() - self._start

    def left(self, state: State | None) -> float | None:
        """Seconds until ``state.total``; ``None`` while there is no speed yet."""
        if state is None or not state.total:
            return None
        if self._first is None:
            self._first = (self._now(), state.done)
            return None
        start, done = self._first
        if state.done <= done:
            return None
        return (self._now() - start) / (state.done - done) * max(state.total - state.done, 0.0)


def describe(stage: str, state: State | None, elapsed: float, left: float | None) -> str:
    """The line for the terminal."""
    if state is None or not state.total:
        return f"[{stage}] at work for {duration(elapsed)}" + (f": {state.note}" if state else "")
    done = f"{state.done:.2f}" if state.unit == "epochs" else f"{state.done:.0f}"
    share = f"{100 * state.done / state.total:.0f} %"
    ending = f"{duration(left)} left" if left is not None else f"at work for {duration(elapsed)}"
    note = f", {state.note}" if state.note else ""
    return f"[{stage}] {done}/{state.total:.0f} {state.unit}, {share}{note}, {ending}"


def say(line: str) -> None:
    """One whole line in one write: the stages that run side by side share the terminal."""
    os.write(2, (line + "\n").encode())


def _die_with_parent() -> None:  # in the child, between fork and exec
    # A stage must not outlive a killed workflow: run again, two of them would write the same checkpoint.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def run(
    stage: str,
    command: Sequence[str],
    log: Path,
    meter: Meter,
    output: Path | None = None,
    interval: float = INTERVAL_SECONDS,
) -> int:
    """Run ``command`` with all that it writes in ``log``, say how far it is, and return its status.

    Args:
        output: takes the standard output instead; it appears under its name when the command succeeded.

    The command ends with this process, and this process ends the command when its own parent is gone.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    parent = os.getppid()
    partial = output.with_name(output.name + ".partial") if output else None
    with contextlib.ExitStack() as files:
        log_stream = files.enter_context(open(log, "ab"))
        log_stream.write(f"$ {shlex.join(command)}\n".encode())
        log_stream.flush()
        offset = log_stream.tell()
        if partial:
            partial.parent.mkdir(parents=True, exist_ok=True)
        clock = Clock()
        process = subprocess.Popen(
            command,
            stdout=files.enter_context(open(partial, "wb")) if partial else log_stream,
            stderr=log_stream,
            stdin=subprocess.DEVNULL,
            preexec_fn=_die_with_parent,
        )
    stop = {"asked": False}

    def _stop(signum: int, frame: object) -> None:
        stop["asked"] = True
        process.terminate()

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    previous = {number: signal.signal(number, _stop) for number in signals}
    try:
        next_line = interval
        with open(partial or log, encoding="utf-8", errors="replace", newline="\n") as stream:
            stream.seek(0 if partial else offset)
            pending = ""
            while True:
                status = process.poll()
                while chunk := stream.readline():
                    pending += chunk
                    if pending.endswith("\n"):
                        meter.feed(pending.rstrip("\n"))
                        pending = ""
                if status is not None:
                    break
                left = clock.left(meter.state())
                if clock.elapsed() >= next_line:
                    say(describe(stage, meter.state(), clock.elapsed(), left))
                    next_line = clock.elapsed() + interval
                if os.getppid() != parent:
                    _stop(signal.SIGTERM, None)
                time.sleep(POLL_SECONDS)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if stop["asked"]:
        say(f"[{stage}] interrupted after {duration(clock.elapsed())}; run it again to go on")
        return status or 130
    if status:
        say(failure(stage, status, log, offset))
    else:
        if output and partial:
            os.replace(partial, output)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        with open(log, "a", encoding="utf-8") as stream:
            stream.write(
                f"# {clock.elapsed():.0f} s, of the processor {used.ru_utime + used.ru_stime:.0f} s\n"
            )
        say(f"[{stage}] done in {duration(clock.elapsed())}")
    return status


def failure(stage: str, status: int, log: Path, offset: int) -> str:
    """What to show when a stage failed: the end of what this run wrote to ``log``, and where the log is."""
    with open(log, encoding="utf-8", errors="replace") as stream:
        stream.seek(offset)
        lines = [line.rstrip()[:300] for line in stream if line.strip()][-FAILURE_LINES:]
    ending = f"was stopped by signal {-status}" if status < 0 else f"failed with status {status}"
    shown = [f"    {line}" for line in lines]
    return "\n".join([f"[{stage}] {ending}; the end of its log:", *shown, f"  whole log: {log.resolve()}"])


def meter_for(command: Sequence[str], sentences: int | None) -> Meter:
    """The meter that understands the log of ``command``."""
    if sentences is not None:
        return TranslationMeter(sentences)
    max_update, max_epoch = option(command, "--max-update"), option(command, "--max-epoch")
    if max_update or max_epoch:
        return TrainingMeter(max_update, max_epoch)
    return LastLineMeter()


def without_dashes(words: Sequence[str]) -> Sequence[str]:
    """The command in what argparse leaves after the options: ``--`` in front of it is no part of it."""
    return words[1:] if words[:1] == ["--"] else words


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--stage", required=True, help="what the terminal calls this stage")
    parser.add_argument("--log", required=True, type=Path, help="file that takes the complete log")
    parser.add_argument("--output", type=Path, help="file that takes the standard output")
    parser.add_argument("--sentences", type=int, help="number of source sentences of a translation")
    parser.add_argument("--interval", type=float, default=INTERVAL_SECONDS, help="seconds between two lines")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="-- and the command")
    options = parser.parse_args()
    command = without_dashes(options.command)
    if not command:
        parser.error("no command given after --")
    meter = meter_for(command, options.sentences)

    def stage() -> int:
        status = run(options.stage, command, options.log, meter, options.output, options.interval)
        return status if status >= 0 else 128 - status

    return exit_status(stage)


if __name__ == "__main__":
    sys.exit(main())
