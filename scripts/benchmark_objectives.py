"""Time and memory of the objectives and the teacher's statistics, against plain versions of the same formulas.

The plain version is what one writes first: float64, PyTorch's special functions, autograd, members stacked.
Both are run alternately in one process, and the table gives the median and the range of the ratio of
neighbouring runs, so that a busy machine slows both alike. Each is called twice and the second call is timed, since
the first pays for the caches and the heap that the other version leaves (``--cold`` times that one). Memory is
measured in fresh processes: what the peak exceeds the inputs by. On a CPU everything is done twice, with malloc as it
comes and with malloc told to keep its pages.

The case ``step`` is another comparison: a whole training step of a student with its ensemble beside it, without the
optimizer, against what no implementation can do without, the members' forward passes, and a label-smoothed cross-entropy
step of the same student. "Times faster" is 1 when distillation costs nothing beyond that.

    python scripts/benchmark_objectives.py                       # all cases on the CPU
    python scripts/benchmark_objectives.py --device cuda --compiled
    python scripts/benchmark_objectives.py --cases reverse_kl --tokens 64 --repeats 9
    python scripts/benchmark_objectives.py --growth              # memory of the chunked step as M and tokens grow
    python scripts/benchmark_objectives.py --profile --tokens 1024    # where the time of that whole step goes
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ednd_nmt.chunked import projected_loss
from ednd_nmt.compiled import use_compiled_bodies
from ednd_nmt.dirichlet import dirichlet_uncertainty
from ednd_nmt.ensemble import EnsembleStatistics, ensemble_statistics
from ednd_nmt.objectives.forward_kl import forward_kl_loss
from ednd_nmt.objectives.likelihood import dirichlet_likelihood_loss
from ednd_nmt.objectives.mean_kl import mean_kl_loss
from ednd_nmt.objectives.reverse_kl import reverse_kl_loss, reverse_kl_value_and_gradient
from ednd_nmt.option_types import at_least
from ednd_nmt.projection import linear_logits

MALLOC_SETTINGS: dict[str, dict[str, str]] = {
    "as it comes": {},
    "keeps pages": {
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": str(2**36),
        "MALLOC_TOP_PAD_": str(2**26),
    },
    "returns pages": {"MALLOC_MMAP_THRESHOLD_": str(2**16)},  # what is resident is then what is alive
}
OBJECTIVES = ("mean_kl", "likelihood", "forward_kl", "reverse_kl")
CASES = (*OBJECTIVES, "teacher", "uncertainty", "step")

Run = Callable[[], Any]


def plain_loss(name: str, logits: Tensor, pbar: Tensor, lbar: Tensor, precision: Tensor) -> Tensor:
    """The objective by its definition, in float64, per token."""
    z, pbar, lbar, precision = logits.double(), pbar.double(), lbar.double(), precision.double()
    if name == "mean_kl":
        return (pbar * (pbar.log() - z.log_softmax(-1))).sum(-1)
    alpha = z.exp() + 1
    alpha0 = alpha.sum(-1, keepdim=True)
    if name == "likelihood":
        return alpha.lgamma().sum(-1) - alpha0.lgamma().squeeze(-1) - ((alpha - 1) * lbar).sum(-1)
    student = torch.distributions.Dirichlet(alpha, validate_args=False)
    if name == "forward_kl":
        target = torch.distributions.Dirichlet(pbar * precision.unsqueeze(-1) + 1, validate_args=False)
        return torch.distributions.kl_divergence(target, student)
    prior = torch.distributions.Dirichlet(torch.ones_like(alpha), validate_args=False)
    expected_log = alpha.digamma() - alpha0.digamma()
    divergence = torch.distributions.kl_divergence(student, prior)
    return divergence / precision - (pbar * expected_log).sum(-1)


def stacked_statistics(members: list[Tensor]) -> tuple[Tensor, ...]:
    """The teacher's statistics with all members in one tensor, in float64."""
    log_p = torch.stack(members, dim=-2).double().log_softmax(-1)
    p = log_p.exp()
    mean, log_mean = p.mean(-2), log_p.mean(-2)
    mkl = (mean * (mean.log() - log_mean)).sum(-1)
    expected_entropy = -(p * log_p).sum(-1).mean(-1)
    entropy_of_mean = -(mean * mean.log()).sum(-1)
    return mean, log_mean, mkl, entropy_of_mean - expected_entropy + mkl, expected_entropy, entropy_of_mean


def plain_uncertainty(logits: Tensor) -> tuple[Tensor, ...]:
    """The measures of a Dirichlet by their definitions, in float64."""
    alpha = logits.double().exp() + 1
    alpha0 = alpha.sum(-1, keepdim=True)
    p = alpha / alpha0
    total = -(p * p.log()).sum(-1)
    data = -(p * ((alpha + 1).digamma() - (alpha0 + 1).digamma())).sum(-1)
    mkl = (p * (p.log() - alpha.digamma() + alpha0.digamma())).sum(-1)
    return total, data, total - data, total - data + mkl, mkl, alpha0.squeeze(-1)


def with_gradient(loss: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
    leaf = logits.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(leaf).sum(), leaf)
    return gradient


def make_runs(case: str, tokens: int, classes: int, members: int, device: str) -> dict[str, Run]:
    """The two contestants, ``plain`` and ``ours``, on the same inputs."""
    generator = torch.Generator().manual_seed(0)
    common = 2 * torch.randn(tokens, classes, generator=generator)
    common[:, 0] += 12
    student = common + 0.5 * torch.randn(tokens, classes, generator=generator)
    logits = [
        common.add(torch.randn(tokens, classes, generator=generator), alpha=0.5) for _ in range(members)
    ]
    logits, student = [member.to(device) for member in logits], student.to(device)
    del common
    if case == "teacher":
        return {"plain": lambda: stacked_statistics(logits), "ours": lambda: ensemble_statistics(logits)}
    if case == "uncertainty":
        return {"plain": lambda: plain_uncertainty(student), "ours": lambda: dirichlet_uncertainty(student)}
    teacher = ensemble_statistics(logits)
    logits.clear()
    precision = (classes - 1) / (2 * teacher.mkl)
    ours: dict[str, Callable[[Tensor, EnsembleStatistics], Tensor]] = {
        "mean_kl": mean_kl_loss,
        "likelihood": dirichlet_likelihood_loss,
        "forward_kl": forward_kl_loss,
        "reverse_kl": reverse_kl_loss,
    }
    plain = partial(plain_loss, case, pbar=teacher.mean, lbar=teacher.log_mean, precision=precision)
    return {
        "plain": lambda: with_gradient(plain, student),
        "ours": lambda: with_gradient(lambda z: ours[case](z, teacher), student),
    }


class Translator(torch.nn.Module):
    """A Transformer whose projection is tied to its embeddings; without dropout."""

    def __init__(self, classes: int, width: int, layers: int) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(classes, width)
        self.body = torch.nn.Transformer(
            width, 4, layers, layers, 4 * width, dropout=0.0, batch_first=True, norm_first=False
        )

    def features(self, source: Tensor, target: Tensor) -> Tensor:
        """The decoder's last hidden layer, [tokens, width]."""
        mask = torch.nn.Transformer.generate_square_subsequent_mask(target.shape[1], device=target.device)
        states = self.body(self.embedding(source), self.embedding(target), tgt_mask=mask, tgt_is_causal=True)
        return states.flatten(0, 1)

    def logits(self, features: Tensor) -> Tensor:
        return torch.nn.functional.linear(features, self.embedding.weight)


def make_step_runs(arguments: argparse.Namespace) -> dict[str, Run]:
    """A distillation step, and the members' forward passes with a cross-entropy step of the student."""
    classes, device = arguments.classes, arguments.device
    length = min(32, arguments.tokens[0])
    torch.manual_seed(0)
    student, *members = (
        Translator(classes, arguments.width, arguments.layers).to(device)
        for _ in range(arguments.members + 1)
    )
    for member in members:
        member.eval().requires_grad_(False)
    source, target = torch.randint(classes, (2, arguments.tokens[0] // length, length), device=device)
    reference = target.roll(-1).flatten()

    def finish(loss: Tensor) -> None:
        loss.backward()
        student.zero_grad()

    def plain() -> None:
        with torch.no_grad():
            for member in members:
                member.logits(member.features(source, target))
        logits = student.logits(student.features(source, target))
        finish(torch.nn.functional.cross_entropy(logits, reference, label_smoothing=0.1, reduction="sum"))

    def ours() -> None:
        with torch.no_grad():
            states = [member.features(source, target) for member in members]

        def member_logits(chunk: slice) -> Iterator[Tensor]:
            logits = None
            for member, features in zip(members, states, strict=True):
                logits = linear_logits(features[chunk], member.embedding.weight, into=logits)
                yield logits

        features = student.features(source, target)
        weight = student.embedding.weight
        finish(projected_loss(features, weight, None, member_logits, reverse_kl_value_and_gradient).loss)

    return {"plain": plain, "ours": ours}


def report_profile(arguments: argparse.Namespace) -> None:
    """Print where the time of the distillation step goes, once everything is compiled."""
    torch.set_num_threads(arguments.threads)
    use_compiled_bodies(arguments.compiled)
    step = make_step_runs(arguments)["ours"]
    step()
    activities = [torch.profiler.ProfilerActivity.CPU]
    if arguments.device == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profile:
        for _ in range(arguments.repeats):
            step()
    order = f"self_{arguments.device}_time_total"
    print(profile.key_averages().table(sort_by=order, row_limit=12, max_name_column_width=60))


def make_chunked_step(tokens: int, classes: int, members: int, device: str) -> Run:
    """Projection, teacher and reverse KL on chunks, with gradients; members draw their logits when asked."""
    generator = torch.Generator(device).manual_seed(0)
    features = torch.randn(tokens, 256, generator=generator, device=device, requires_grad=True)
    weight = torch.randn(classes, 256, generator=generator, device=device, requires_grad=True)

    def member_logits(chunk: slice) -> Iterator[Tensor]:
        for _ in range(members):
            yield torch.randn(chunk.stop - chunk.start, classes, generator=generator, device=device)

    return lambda: projected_loss(
        features, weight, None, member_logits, reverse_kl_value_and_gradient, chunk_budget_mib=64
    ).loss.backward()


def seconds(run: Run, device: str, cold: bool) -> float:
    if not cold:
        run()
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def resident_mib(field: str) -> float:
    """A memory figure of this process from Linux: VmRSS now, VmHWM at its peak."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status has no {field}; memory is measured on Linux only")


def extra_peak_mib(run: Run, device: str) -> float:
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    ctypes.CDLL(None).malloc_trim(0)  # memory freed earlier must not pass for the run's own
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    resident = resident_mib("VmRSS")
    run()
    return resident_mib("VmHWM") - resident


def work(arguments: argparse.Namespace) -> dict[str, Any]:
    """One measurement in this process: times of both contestants, or memory of one."""
    torch.set_num_threads(arguments.threads)
    use_compiled_bodies(arguments.compiled)
    if arguments.case == "chunked step":
        step = make_chunked_step(arguments.tokens[0], arguments.classes, arguments.members, arguments.device)
        if arguments.compiled:
            step()  # compiling is not part of it
        return {"extra_mib": extra_peak_mib(step, arguments.device)}
    if arguments.case == "step":
        runs = make_step_runs(arguments)
    else:
        runs = make_runs(
            arguments.case, arguments.tokens[0], arguments.classes, arguments.members, arguments.device
        )
    if arguments.memory_of:
        if arguments.compiled or arguments.device == "cuda":
            runs[arguments.memory_of]()  # compiling is not part of it
        return {"extra_mib": extra_peak_mib(runs[arguments.memory_of], arguments.device)}
    for run in runs.values():
        run()
    pairs = [
        tuple(seconds(run, arguments.device, arguments.cold) for run in runs.values())
        for _ in range(arguments.repeats)
    ]
    return {"pairs": pairs}


def measure(arguments: argparse.Namespace, malloc: str, case: str, tokens: int, memory_of: str = "") -> Any:
    """``work`` in a fresh process with the given malloc settings."""
    command = [sys.executable, __file__, "--worker", "--case", case, "--tokens", str(tokens)]
    for name in ("classes", "members", "width", "layers", "repeats", "threads", "device"):
        command += [f"--{name}", str(getattr(arguments, name))]
    command += ["--memory-of", memory_of] if memory_of else []
    command += [f"--{name}" for name in ("compiled", "cold") if getattr(arguments, name)]
    environment = {**os.environ, **MALLOC_SETTINGS[malloc], "OMP_NUM_THREADS": str(arguments.threads)}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def report(arguments: argparse.Namespace) -> None:
    where = (
        torch.cuda.get_device_name() if arguments.device == "cuda" else f"CPU, {arguments.threads} thread(s)"
    )
    print(
        f"{where}; torch {torch.__version__}; K = {arguments.classes}; {arguments.members} members; "
        f"bodies {'compiled' if arguments.compiled else 'eager'}; {'first' if arguments.cold else 'second'} calls; "
        f"median of {arguments.repeats} (range)"
    )
    print(
        f"{'case':<12} {'tokens':>6} {'malloc':<12} {'plain ms':>9} {'ours ms':>9} "
        f"{'times faster':>22} {'plain MiB':>10} {'ours MiB':>9} {'share':>6}"
    )
    settings = ["as it comes", "keeps pages"] if arguments.device == "cpu" else ["as it comes"]
    for case in arguments.cases:
        sizes = {"teacher": [128], "uncertainty": [80], "step": arguments.tokens[-1:]}.get(
            case, arguments.tokens
        )
        for tokens in sizes:
            for malloc in settings:
                pairs = measure(arguments, malloc, case, tokens)["pairs"]
                ratios = sorted(plain / ours for plain, ours in pairs)
                plain_ms, ours_ms = (1000 * statistics.median(times) for times in zip(*pairs, strict=True))
                memory = [
                    measure(arguments, malloc, case, tokens, who)["extra_mib"] for who in ("plain", "ours")
                ]
                digits = 2 if ratios[0] < 2 else 1
                faster = (
                    f"{statistics.median(ratios):.{digits}f} ({ratios[0]:.{digits}f}-{ratios[-1]:.{digits}f})"
                )
                print(
                    f"{case:<12} {tokens:>6} {malloc:<12} {plain_ms:>9.1f} {ours_ms:>9.1f} {faster:>22} "
                    f"{memory[0]:>10.0f} {memory[1]:>9.0f} {memory[1] / max(memory[0], 1e-9):>6.2f}",
                    flush=True,
                )


def report_growth(arguments: argparse.Namespace) -> None:
    arguments.classes = min(arguments.classes, 8000)
    gradients = 4 * 256 / 2**20  # features and weight, per row
    print(
        f"Chunked step, K = {arguments.classes}, budget 64 MiB: extra peak MiB without the gradients returned"
    )
    settings = ["as it comes", "returns pages"] if arguments.device == "cpu" else ["as it comes"]
    print(f"{'tokens':>6} {'members':>8} " + " ".join(f"{name:>14}" for name in settings))
    for tokens in (1024, 4096, 16384):
        for members in (1, 5, 20):
            arguments.members = members
            returned = 2 * gradients * (tokens + arguments.classes)  # once saved, once handed to the leaves
            extras = (
                measure(arguments, malloc, "chunked step", tokens)["extra_mib"] - returned
                for malloc in settings
            )
            row = " ".join(f"{extra:>14.0f}" for extra in extras)
            print(f"{tokens:>6} {members:>8} {row}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument(
        "--tokens", type=at_least(1), nargs="+", default=[64, 512], help="batch sizes of the objectives"
    )
    parser.add_argument("--classes", type=at_least(2), default=40000)
    parser.add_argument("--members", type=at_least(1), default=10)
    parser.add_argument("--width", type=at_least(1), default=256, help="of the Transformers in the case step")
    parser.add_argument(
        "--layers", type=at_least(1), default=2, help="of their encoders, and of their decoders"
    )
    parser.add_argument("--repeats", type=at_least(1), default=5)
    parser.add_argument("--cold", action="store_true", help="time the first call after the other version's")
    parser.add_argument("--threads", type=at_least(1), default=torch.get_num_threads())
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--compiled", action="store_true", help="run the inner bodies through torch.compile")
    parser.add_argument("--growth", action="store_true", help="memory as members and tokens grow")
    parser.add_argument("--profile", action="store_true", help="where the time of the case step goes")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--memory-of", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(work(arguments)))
    elif arguments.growth:
        report_growth(arguments)
    elif arguments.profile:
        report_profile(arguments)
    else:
        report(arguments)


if __name__ == "__main__":
    main()
