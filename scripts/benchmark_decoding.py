"""Time of translating with every uncertainty recorded, against fairseq's own search on the same checkpoint.

The contestants translate the same sentences in the same batches, one after the other in one process, and that
several times over: a round gives one ratio each, so that a busy machine slows all alike. Printed are the median
and the range of the ratios to the first contestant, in elapsed time and, on the CPU, in processor time, which a busy
machine hardly changes. Timed is what ``fairseq-generate`` calls its generation time: the search and, where
uncertainties are recorded, all measures and the writing of the file. Its printing and start-up, the same for all,
are left out, so that the ratios are larger than those of whole commands. ``--commands`` times these: fairseq-generate
of the whole subset, each in a process of its own.

Each system is a name and its checkpoints: the distillation task with --uncertainty-output. The contestant ``plain``, to
which all are compared, is fairseq's translation task, which computes no measure, with the checkpoints of the first system.

    python scripts/benchmark_decoding.py --data data-bin student=student.pt ensemble=m1.pt:m2.pt:m3.pt
    python scripts/benchmark_decoding.py --data data-bin student=student.pt --commands
    python scripts/benchmark_decoding.py --data data-bin student=student.pt --sentences 100 --profile student
"""

from __future__ import annotations

import argparse
import cProfile
import json
import logging
import os
import pstats
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ednd_nmt.errors import UserError, exit_status
from ednd_nmt.files import atomic_writer
from ednd_nmt.option_types import at_least

PLAIN = "plain"


class Times(NamedTuple):
    """Seconds of one run."""

    elapsed: float
    processor: float


class System(NamedTuple):
    """A system of the command line."""

    name: str
    paths: str  # of its checkpoints, separated by ":"


def system(text: str) -> System:
    """``NAME=CHECKPOINT[:CHECKPOINT...]`` of the command line."""
    name, separator, paths = text.partition("=")
    if not (name and separator and paths):
        raise argparse.ArgumentTypeError(f"write NAME=CHECKPOINT[:CHECKPOINT...], not {text!r}")
    if name == PLAIN:
        raise argparse.ArgumentTypeError(f"{PLAIN} is fairseq's own search; choose another name")
    return System(name, paths)


class Contestant(Protocol):
    """Something that translates the sentences."""

    name: str

    @property
    def size(self) -> Size: ...

    def run(self) -> Times:
        """Translate everything once."""


class Size(NamedTuple):
    """What a system consists of."""

    models: int
    parameters: (
        int | None
    )  # of all of them; what a model has twice counts once; None where nothing was loaded


@dataclass
class Search:
    """A task with its loaded models, ready to translate the chosen sentences."""

    name: str
    task: Any
    models: list[Any]
    dataset: Any
    generation: Namespace
    arguments: argparse.Namespace

    @property
    def size(self) -> Size:
        parameters = [parameter.numel() for model in self.models for parameter in model.parameters()]
        return Size(len(self.models), sum(parameters))

    def run(self) -> Times:
        """Translate everything once; the time of the searches, without loading and without making batches."""
        arguments = self.arguments
        batches = list(
            self.task.get_batch_iterator(
                self.dataset, max_tokens=arguments.max_tokens, max_sentences=arguments.batch_size
            ).next_epoch_itr(shuffle=False)
        )
        if arguments.device == "cuda":
            from fairseq import utils

            batches = [utils.move_to_cuda(batch) for batch in batches]
            torch.cuda.synchronize()
        generator = self.task.build_generator(self.models, self.generation)
        elapsed, processor = time.perf_counter(), time.process_time()
        for batch in batches:
            self.task.inference_step(generator, self.models, batch)
        if arguments.device == "cuda":
            torch.cuda.synchronize()
        return Times(time.perf_counter() - elapsed, time.process_time() - processor)


@dataclass
class Command:
    """A whole ``fairseq-generate`` of the subset: start-up, search, printing, and the uncertainty file if there is one."""

    name: str
    models: list[str]
    words: list[str]
    arguments: argparse.Namespace

    @property
    def size(self) -> Size:
        return Size(len(self.models), None)

    def run(self) -> Times:
        """Run the command; elapsed time and the processor time of its process."""
        environment = os.environ | {"OMP_NUM_THREADS": str(self.arguments.threads)}
        before, elapsed = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(
            self.words, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        elapsed, after = time.perf_counter() - elapsed, resource.getrusage(resource.RUSAGE_CHILDREN)
        return Times(elapsed, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def generation_flags(
    task_name: str, paths: str, arguments: argparse.Namespace, output: Path | None
) -> list[str]:
    """Arguments of ``fairseq-generate`` that both ways of timing give."""
    flags = [arguments.data, "--task", task_name, "--path", paths, "--beam", str(arguments.beam)]
    flags += ["--source-lang", arguments.source_lang] if arguments.source_lang else []
    flags += ["--target-lang", arguments.target_lang] if arguments.target_lang else []
    flags += ["--cpu"] if arguments.device == "cpu" else []
    if output is not None:
        flags += ["--uncertainty-output", str(output)]
        flags += ["--compile-measures"] if arguments.compile_measures else []
    return flags


def command(
    name: str, task_name: str, paths: str, arguments: argparse.Namespace, output: Path | None
) -> Command:
    import ednd_nmt

    words = [str(Path(sys.executable).with_name("fairseq-generate"))]
    words += generation_flags(task_name, paths, arguments, output)
    words += ["--user-dir", str(Path(ednd_nmt.__file__).parent), "--gen-subset", arguments.gen_subset]
    words += ["--nbest", str(arguments.nbest or arguments.beam), "--max-len-a", str(arguments.max_len_a)]
    words += ["--max-len-b", str(arguments.max_len_b), "--max-tokens", str(arguments.max_tokens)]
    words += ["--batch-size", str(arguments.batch_size), "--post-process", "sentencepiece"]
    return Command(name, paths.split(":"), words, arguments)


def search(
    name: str, task_name: str, paths: str, arguments: argparse.Namespace, output: Path | None
) -> Search:
    """Load the models as ``fairseq-generate`` does, and take ``--sentences`` evenly spread over the subset."""
    from fairseq import checkpoint_utils, options, tasks
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    from ednd_nmt.scoring import pair_dataset

    flags = generation_flags(task_name, paths, arguments, output)
    parsed = options.parse_args_and_arch(options.get_generation_parser(), flags)
    config = convert_namespace_to_omegaconf(parsed)
    task = tasks.setup_task(config.task)
    models, _ = checkpoint_utils.load_model_ensemble(paths.split(":"), task=task)
    for model in models:
        model.prepare_for_inference_(config)
        model.to(arguments.device).eval()
    task.load_dataset(arguments.gen_subset)
    whole = task.dataset(arguments.gen_subset)
    count = min(arguments.sentences, len(whole))
    chosen = [whole[index * len(whole) // count] for index in range(count)]
    pairs = pair_dataset(task, [pair["source"] for pair in chosen], [pair["target"] for pair in chosen])
    generation = Namespace(
        beam=arguments.beam,
        nbest=arguments.nbest or arguments.beam,
        max_len_a=arguments.max_len_a,
        max_len_b=arguments.max_len_b,
    )
    return Search(name, task, list(models), pairs, generation, arguments)


def contestants(arguments: argparse.Namespace, folder: Path) -> list[Contestant]:
    """fairseq's own search with the first system's checkpoints, and every system."""
    make = command if arguments.commands else search
    plain = make(PLAIN, "translation", arguments.systems[0].paths, arguments, None)
    systems = [
        make(name, "distillation", paths, arguments, folder / f"{number}.jsonl")
        for number, (name, paths) in enumerate(arguments.systems)
    ]
    return [plain, *systems]


def measured(found: Sequence[Contestant], repeats: int) -> list[dict[str, Any]]:
    """One untimed round, then ``repeats`` rounds, each in the opposite order of the one before.

    Returns one entry per contestant: its size, its seconds (median), and by kind of time its ratio to the first
    contestant as [median, least, largest].
    """
    rounds: list[dict[str, Times]] = []
    for number in range(repeats + 1):
        order = found if number % 2 == 0 else found[::-1]
        times = {one.name: one.run() for one in order}
        if number > 0:
            rounds.append(times)
    entries = []
    for one in found:
        seconds = statistics.median(times[one.name].elapsed for times in rounds)
        entry: dict[str, Any] = {"system": one.name, **one.size._asdict(), "seconds": seconds}
        for kind, name in enumerate(Times._fields):
            ratios = sorted(times[one.name][kind] / times[found[0].name][kind] for times in rounds)
            entry[name] = [statistics.median(ratios), ratios[0], ratios[-1]]
        entries.append(entry)
    return entries


def print_table(entries: Sequence[Mapping[str, Any]]) -> None:
    header = [
        "system",
        "models",
        "parameters",
        "seconds",
        f"times {entries[0]['system']}",
        "in processor time",
    ]
    rows = [header]
    for entry in entries:
        parameters = "-" if entry["parameters"] is None else f"{entry['parameters']:,}"
        spreads = ["{:.3f} ({:.3f}-{:.3f})".format(*entry[name]) for name in Times._fields]
        rows.append([entry["system"], str(entry["models"]), parameters, f"{entry['seconds']:.2f}", *spreads])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        first, *rest = (f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
        print(f"{first.strip():<{widths[0]}}", *rest, sep="  ")


def profile(one: Contestant) -> None:
    one.run()
    profiler = cProfile.Profile(time.process_time)
    profiler.runcall(one.run)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(40)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "systems", nargs="+", type=system, metavar="NAME=CHECKPOINT[:CHECKPOINT...]", help="what translates"
    )
    parser.add_argument("--data", required=True, metavar="DIR", help="binarised data")
    parser.add_argument("--source-lang", metavar="LANG")
    parser.add_argument("--target-lang", metavar="LANG")
    parser.add_argument("--gen-subset", default="test")
    parser.add_argument("--sentences", type=at_least(1), default=500, help="spread evenly over the subset")
    parser.add_argument("--commands", action="store_true", help="whole commands, and the whole subset")
    parser.add_argument("--repeats", type=at_least(1), default=5)
    parser.add_argument("--beam", type=at_least(1), default=5)
    parser.add_argument(
        "--nbest", type=at_least(1), help="hypotheses written per sentence (default: all of the beam)"
    )
    parser.add_argument("--max-len-a", type=float, default=1.5)
    parser.add_argument("--max-len-b", type=at_least(0), default=10)
    parser.add_argument("--max-tokens", type=at_least(1), default=4000)
    parser.add_argument("--batch-size", type=at_least(1), default=256)
    parser.add_argument("--threads", type=at_least(1), default=torch.get_num_threads())
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--compile-measures", action="store_true", help="measures through torch.compile")
    parser.add_argument(
        "--profile", metavar="NAME", help="run one contestant under cProfile and print where its time goes"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="the table as JSON as well")
    arguments = parser.parse_args()
    names = [PLAIN, *(one.name for one in arguments.systems)]
    if len(set(names)) < len(names):
        parser.error("two systems have the same name; name them apart")
    if arguments.profile is not None and arguments.profile not in names:
        parser.error(f"--profile {arguments.profile}: choose from {', '.join(names)}")
    if arguments.profile is not None and arguments.json is not None:
        parser.error("--profile makes no table for --json")

    return exit_status(partial(run, arguments))


def run(arguments: argparse.Namespace) -> None:
    """Time the systems and print the table, or profile one of them."""
    for path in (arguments.data, *(path for one in arguments.systems for path in one.paths.split(":"))):
        if not Path(path).exists():
            raise UserError(f"There is no {path}; check --data and the paths of the checkpoints.")

    import ednd_nmt  # noqa: F401 - registers with fairseq

    logging.disable(logging.INFO)
    torch.set_num_threads(arguments.threads)
    where = (
        torch.cuda.get_device_name() if arguments.device == "cuda" else f"CPU, {arguments.threads} thread(s)"
    )
    with tempfile.TemporaryDirectory() as folder:
        found = contestants(arguments, Path(folder))
        timed = "whole commands" if arguments.commands else f"searches of {arguments.sentences} sentences"
        setting = (
            f"{where}, torch {torch.__version__}; {timed}, beam {arguments.beam}, "
            f"nbest {arguments.nbest or arguments.beam}, batches of {arguments.batch_size}; "
            f"median of {arguments.repeats} (range)"
        )
        print(f"{setting}; load {os.getloadavg()[0]:.1f}")
        if arguments.profile:
            profile(next(one for one in found if one.name == arguments.profile))
            return
        entries = measured(found, arguments.repeats)
    print_table(entries)
    if arguments.json is not None:
        with atomic_writer(arguments.json) as stream:
            json.dump({"setting": setting, "systems": entries}, stream, indent=1)
            stream.write("\n")


if __name__ == "__main__":
    sys.exit(main())
