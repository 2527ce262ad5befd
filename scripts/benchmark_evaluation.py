"""Time of the evaluation: sentence measures from n-best lists, every figure of error and shift detection, and their
bootstrap intervals, against what one writes first: a loop over the resamples that draws sentences, sorts them, and
calls SciPy and scikit-learn.

Both run alternately in one process on the same data, and their figures are compared before anything is timed. The plain
loop runs over a part of the resamples and is scaled up to all of them, to which it is proportional. The table gives the
median and the range of the processor seconds of the repeats.

    python scripts/benchmark_evaluation.py            # 3000 sentences x 5 hypotheses x 12 measures, 1000 resamples
    python scripts/benchmark_evaluation.py --growth   # one measure of 3,000, 30,000 and 300,000 sentences
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy import stats
from scipy.integrate import trapezoid
from sklearn import metrics

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ednd_nmt.evaluation import sentence_measures
from ednd_nmt.evaluation.arrays import Vector
from ednd_nmt.evaluation.bootstrap import RESAMPLES, bootstrap, interval, point
from ednd_nmt.evaluation.resampling import ErrorDetection, ShiftDetection
from ednd_nmt.option_types import at_least
from ednd_nmt.records import Hypothesis

ACCEPTABLE = 60.0
GROWTH = (3_000, 30_000, 300_000)


def plain_error_detection(error: Vector, uncertainty: Vector) -> dict[str, float]:
    """The figures of :class:`ErrorDetection` for data without ties."""
    n = error.size
    by_uncertainty, by_error = np.argsort(uncertainty), np.argsort(error)
    kept, best = (np.append(0.0, np.cumsum(error[order])) for order in (by_uncertainty, by_error))
    random = error.sum() * np.arange(n + 1) / n
    steps = np.arange(1, n + 1)
    risk, best_risk = kept[1:] / steps, best[1:] / steps
    half = n // 2
    hits = np.append(0.0, np.cumsum(error[by_uncertainty] <= ACCEPTABLE))
    f1 = 2 * hits / (np.arange(n + 1) + hits[-1])
    return {
        "PRR": 100 * (kept.mean() - random.mean()) / (best.mean() - random.mean()),
        "R-AUC": kept.mean() / n,
        "AURC": risk.mean(),
        "truncated PRR": (risk[-half:].mean() - error.mean()) / (best_risk[-half:].mean() - error.mean()),
        "F1-AUC": trapezoid(f1, dx=1 / (n + 1)),
        "F1@95": f1[int(0.95 * (n + 1))],
        "Spearman": stats.spearmanr(error, uncertainty).statistic,
        "Kendall": stats.kendalltau(error, uncertainty).statistic,
        "Pearson": stats.pearsonr(error, uncertainty).statistic,
    }


def plain_shift_detection(in_domain: Vector, shifted: Vector) -> dict[str, float]:
    """The figures of :class:`ShiftDetection`."""
    labels = np.repeat([0, 1], [in_domain.size, shifted.size])
    scores = np.concatenate([in_domain, shifted])
    false_positives, true_positives, _ = metrics.roc_curve(labels, scores, drop_intermediate=False)
    return {
        "ROC-AUC": 100 * metrics.roc_auc_score(labels, scores),
        "AUPR": 100 * metrics.average_precision_score(labels, scores),
        "FPR@95": 100 * false_positives[np.argmax(true_positives >= 0.95)],
    }


def plain_intervals(error: Vector, in_domain: Vector, shifted: Vector, resamples: int) -> None:
    """Percentile intervals of all figures of one measure, one resample after the other."""
    generator = np.random.default_rng(0)
    found: dict[str, list[float]] = {}
    for _ in range(resamples):
        inside = generator.integers(0, in_domain.size, in_domain.size)
        outside = generator.integers(0, shifted.size, shifted.size)
        figures = plain_error_detection(error[inside], in_domain[inside])
        figures |= plain_shift_detection(in_domain[inside], shifted[outside])
        for name, value in figures.items():
            found.setdefault(name, []).append(value)
    for values in found.values():
        np.quantile(values, [0.025, 0.975])


def our_intervals(error: Vector, in_domain: Vector, shifted: Vector, resamples: int) -> None:
    """The same through the package."""
    for statistic, sizes in (
        (ErrorDetection(error, in_domain, ACCEPTABLE), [error.size]),
        (ShiftDetection(in_domain, shifted), [in_domain.size, shifted.size]),
    ):
        for draws in bootstrap(statistic, sizes, resamples).values():
            interval(draws)


def check(error: Vector, in_domain: Vector, shifted: Vector) -> None:
    """Both ways give the same figures of the data."""
    pairs = (
        (
            point(ErrorDetection(error, in_domain, ACCEPTABLE), [error.size]),
            plain_error_detection(error, in_domain),
        ),
        (
            point(ShiftDetection(in_domain, shifted), [in_domain.size, shifted.size]),
            plain_shift_detection(in_domain, shifted),
        ),
    )
    for ours, plain in pairs:
        for name, value in plain.items():
            if not np.isclose(ours[name], value, rtol=1e-9):
                raise SystemExit(f"{name} differs: {ours[name]} and, by the plain loop, {value}")


def made_up(sentences: int, measures: int, seed: int = 0) -> tuple[Vector, list[tuple[Vector, Vector]]]:
    """Errors, and for each measure the uncertainties in domain and of a shifted set of the same size; no ties."""
    generator = np.random.default_rng(seed)
    error = 100 * generator.beta(2.0, 2.0, sentences)
    columns = [
        (error / 50 + generator.gamma(2.0, size=sentences), 1 + generator.gamma(3.0, size=sentences))
        for _ in range(measures)
    ]
    return error, columns


def nbest_lists(sentences: int, hypotheses: int, measures: int) -> Iterator[tuple[Hypothesis, ...]]:
    """Hypotheses with their measures and no tokens."""
    generator = np.random.default_rng(0)
    for _ in range(sentences):
        values = generator.gamma(2.0, size=(hypotheses, measures + 1)).tolist()
        yield tuple(
            Hypothesis("", (), 0.0, -row[-1], {f"m{i}": row[i] for i in range(measures)}, {})
            for row in values
        )


def of_all(
    intervals: Callable[[Vector, Vector, Vector, int], None],
    error: Vector,
    columns: Sequence[tuple[Vector, Vector]],
    resamples: int,
) -> float:
    """Processor seconds of the intervals of every measure; everything here runs on one core."""
    start = time.process_time()
    for in_domain, shifted in columns:
        intervals(error, in_domain, shifted, resamples)
    return time.process_time() - start


def of_lists(lists: Sequence[Sequence[Hypothesis]]) -> float:
    """Processor seconds of the sentences' measures."""
    start = time.process_time()
    for hypotheses in lists:
        sentence_measures(hypotheses)
    return time.process_time() - start


def spread(values: list[float], unit: str = "s") -> str:
    return f"{statistics.median(values):.3g} {unit} ({min(values):.3g} to {max(values):.3g})"


def measure(arguments: argparse.Namespace) -> None:
    """The whole evaluation of one system on one shifted set, beside the plain loop."""
    error, columns = made_up(arguments.sentences, arguments.measures)
    check(error, *columns[0])
    lists = list(nbest_lists(arguments.sentences, arguments.hypotheses, arguments.measures))
    share = arguments.plain_resamples / arguments.resamples
    aggregation, ours, plain = [], [], []
    for _ in range(arguments.repeats):
        aggregation.append(of_lists(lists))
        ours.append(of_all(our_intervals, error, columns, arguments.resamples))
        plain.append(of_all(plain_intervals, error, columns, arguments.plain_resamples) / share)
    ratios = [slow / fast for slow, fast in zip(plain, ours, strict=True)]
    print(
        f"{arguments.sentences:,} sentences x {arguments.hypotheses} hypotheses x {arguments.measures} measures, "
        f"{arguments.resamples} resamples, {arguments.repeats} repeats"
    )
    print(f"  sentence measures from the n-best lists    {spread(aggregation)}")
    print(f"  12 figures of each measure, with intervals {spread(ours)}")
    print(
        f"  the same by a plain loop                   {spread(plain)}, from {arguments.plain_resamples} resamples"
    )
    print(f"  plain over ours                            {spread(ratios, 'times')}")


def grow(arguments: argparse.Namespace) -> None:
    """One measure of more and more sentences."""
    print(f"one measure, {arguments.resamples} resamples, {arguments.repeats} repeats")
    print("  sentences  12 figures with intervals       per sentence   peak memory")
    for sentences in arguments.sizes:
        error, columns = made_up(sentences, 1)
        values = [
            of_all(our_intervals, error, columns, arguments.resamples) for _ in range(arguments.repeats)
        ]
        each = 1e6 * statistics.median(values) / sentences
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"  {sentences:9,}  {spread(values):<30}  {each:8.0f} us  {peak:8,.0f} MiB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sentences", type=at_least(4), default=3000)
    parser.add_argument("--hypotheses", type=at_least(1), default=5)
    parser.add_argument("--measures", type=at_least(1), default=12)
    parser.add_argument("--resamples", type=at_least(1), default=RESAMPLES)
    parser.add_argument(
        "--plain-resamples", type=at_least(1), default=25, help="of them, that the plain loop runs over"
    )
    parser.add_argument("--repeats", type=at_least(1), default=5)
    parser.add_argument(
        "--growth", action="store_true", help="how the time grows with the sentences, instead"
    )
    parser.add_argument("--sizes", type=at_least(4), nargs="+", default=GROWTH, help="of --growth")
    arguments = parser.parse_args()
    (grow if arguments.growth else measure)(arguments)


if __name__ == "__main__":
    main()
