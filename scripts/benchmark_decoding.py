"""Time of translating with every uncertainty recorded, against fairseq's own search on the same checkpoint.

The contestants translate the same sentences in the same batches, one after the other in one process, and that
several times over: a round gives one ratio each, so that a busy machine slows all alike. Printed are the median
and the range of the ratios to the first contestant, in elapsed time and, on the CPU, in processor time, which a busy
machine hardly changes. Timed is what ``fairseq-generate`` calls its generation time: the search and, where
uncertainties are recorded, all measures and the writing of the file. Its printing and start-up, the same for all,
are left out, so that the ratios are larger than those of whole commands. ``--commands`` times these: fairseq-generate
of the whole subset, each in a process of its own.

    plain      fairseq's translation task on the student's checkpoint: no measure is computed
    student    the distillation task with --uncertainty-output on the same checkpoint
    ensemble   the same with the members (with --members)

    python scripts/benchmark_decoding.py --data data-bin --student student.pt --members m1.pt:m2.pt:m3.pt
    python scripts/benchmark_decoding.py --data data-bin --student student.pt --commands
    python scripts/benchmark_decoding.py --data data-bin --student student.pt --sentences 100 --profile student
"""

from __future__ import annotations

import argparse
import cProfile
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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ednd_nmt.option_types import at_least

SYSTEMS = ("plain", "student", "ensemble")


class Times(NamedTuple):
    """Seconds of one run."""

    elapsed: float
    processor: float


class Contestant(Protocol):
    """Something that translates the sentences."""

    name: str
    models: list[Any]

    def run(self) -> Times:
        """Translate everything once."""


@dataclass
class Search:
    """A task with its loaded models, ready to translate the chosen sentences."""

    name: str
    task: Any
    models: list[Any]
    dataset: Any
    generation: Namespace
    arguments: argparse.Namespace

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
    models: list[Any]
    words: list[str]
    arguments: argparse.Namespace

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


def contestants(arguments: argparse.Namespace, folder: Path) -> Sequence[Contestant]:
    make = command if arguments.commands else search
    found = [
        make("plain", "translation", arguments.student, arguments, None),
        make("student", "distillation", arguments.student, arguments, folder / "student.jsonl"),
    ]
    if arguments.members:
        found.append(
            make("ensemble", "distillation", arguments.members, arguments, folder / "ensemble.jsonl")
        )
    return found


def compare(found: Sequence[Contestant], repeats: int) -> None:
    """One untimed round, then ``repeats`` rounds, each in the opposite order of the one before."""
    rounds: list[dict[str, Times]] = []
    for number in range(repeats + 1):
        order = found if number % 2 == 0 else found[::-1]
        times = {one.name: one.run() for one in order}
        if number > 0:
            rounds.append(times)
    first = found[0].name
    print(f"{'system':<10} {'models':>6} {'seconds':>8} {'times ' + first:>22} {'in processor time':>22}")
    for one in found:
        median = statistics.median(times[one.name].elapsed for times in rounds)
        spreads = []
        for kind in range(len(Times._fields)):
            ratios = sorted(times[one.name][kind] / times[first][kind] for times in rounds)
            spreads.append(f"{statistics.median(ratios):.3f} ({ratios[0]:.3f}-{ratios[-1]:.3f})")
        print(f"{one.name:<10} {len(one.models):>6} {median:>8.2f} {spreads[0]:>22} {spreads[1]:>22}")


def profile(one: Contestant) -> None:
    one.run()
    profiler = cProfile.Profile(time.process_time)
    profiler.runcall(one.run)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(40)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, metavar="DIR", help="binarised data")
    parser.add_argument("--student", required=True, metavar="CHECKPOINT")
    parser.add_argument("--members", metavar="CHECKPOINT:CHECKPOINT", help="the ensemble, separated by ':'")
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
        "--profile", choices=SYSTEMS, help="run one contestant under cProfile and print where its time goes"
    )
    arguments = parser.parse_args()
    if arguments.profile == "ensemble" and not arguments.members:
        parser.error("--profile ensemble needs --members")

    import ednd_nmt  # noqa: F401 - registers with fairseq

    logging.disable(logging.INFO)
    torch.set_num_threads(arguments.threads)
    where = (
        torch.cuda.get_device_name() if arguments.device == "cuda" else f"CPU, {arguments.threads} thread(s)"
    )
    with tempfile.TemporaryDirectory() as folder:
        found = contestants(arguments, Path(folder))
        timed = "whole commands" if arguments.commands else f"searches of {arguments.sentences} sentences"
        print(
            f"{where}, load {os.getloadavg()[0]:.1f}; torch {torch.__version__}; {timed}, beam {arguments.beam}, "
            f"nbest {arguments.nbest or arguments.beam}, batches of {arguments.batch_size}; "
            f"median of {arguments.repeats} (range)"
        )
        if arguments.profile:
            profile(next(one for one in found if one.name == arguments.profile))
        else:
            compare(found, arguments.repeats)


if __name__ == "__main__":
    main()
