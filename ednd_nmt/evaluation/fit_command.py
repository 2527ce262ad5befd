"""``ednd-nmt fit``: choose the penalty of reranking and the threshold of abstention on a validation set."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from ednd_nmt.evaluation.command import add_bootstrap_arguments

if TYPE_CHECKING:
    from ednd_nmt.evaluation.decision_fit import Gain, Payoff


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``ednd-nmt fit``."""
    parser.add_argument(
        "valid", help="uncertainty file of a validation set with references and several hypotheses"
    )
    parser.add_argument(
        "--output", required=True, metavar="PATH", help="where the decision is saved (JSON), for --decision"
    )
    parser.add_argument(
        "--measure", default="sTU", help="reranks: score - LAMBDA x measure (default: %(default)s)"
    )
    parser.add_argument(
        "--metric", default="bleu", choices=("bleu", "chrf"), help="corpus quality that chooses LAMBDA"
    )
    parser.add_argument(
        "--abstain-share",
        type=float,
        metavar="S",
        help="also a threshold, above which this share of the set lies (default: no abstention)",
    )
    parser.add_argument("--abstain-measure", metavar="MEASURE", help="its measure (default: --measure)")
    parser.add_argument(
        "--test", nargs="+", default=[], metavar="PATH", help="other sets, to see whether it pays there"
    )
    parser.add_argument("--json", metavar="PATH", help="write what is found out about these sets")
    add_bootstrap_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Fit, save, and check on other sets; returns the exit code.

    Raises:
        UserError: faulty files or options.
    """
    from ednd_nmt.errors import UserError
    from ednd_nmt.evaluation.decision_fit import corpus_metric, fit_decision, payoff, read_for_decision
    from ednd_nmt.files import atomic_writer, figures_beside

    if args.resamples < 10 or args.seed < 0:
        raise UserError("--resamples must be at least 10 and --seed not negative.")
    if args.abstain_measure is not None and args.abstain_share is None:
        raise UserError(
            "--abstain-measure needs --abstain-share, the share of the set to abstain on, as in 0.1."
        )
    abstain_measure = args.abstain_measure or args.measure
    measures = (args.measure, abstain_measure)
    valid = read_for_decision(args.valid, measures)
    metric = corpus_metric(args.metric, valid.header.target_lang)
    decision = fit_decision(valid, args.measure, metric, abstain_measure, args.abstain_share)
    say = partial(print, file=figures_beside(args.output))
    with atomic_writer(args.output) as stream:
        stream.write(decision.to_json() + "\n")
    rerank, fitted = decision.rerank, decision.fitted
    assert rerank is not None
    assert fitted is not None
    say(f"{args.output}: fitted on {fitted.sentences:,} sentences of {args.valid}")
    say(
        f"  reranking   {rerank.measure} x {rerank.penalty:.4g}: "
        f"{metric.name} {fitted.searched:.2f} -> {fitted.reranked:.2f}"
        + ("" if rerank.penalty else ", no penalty is better than none")
    )
    if decision.abstain is not None:
        say(f"  abstention  {decision.abstain.measure} above {decision.abstain.threshold:.4g}")
    results = {}
    for path in args.test:
        records = read_for_decision(path, measures)
        result = payoff(decision, records, metric, args.abstain_share, args.resamples, args.seed)
        results[path] = asdict(result)
        say(f"{path}: {result.sentences:,} sentences")
        for line in _lines(result, metric.name):
            say("  " + line)
    if args.test:
        say(f"gain: with its 95 % interval and p-value, paired bootstrap, {args.resamples} resamples")
        say(fitted.metric)
    if args.json is not None:
        choices = {"share": args.abstain_share, "resamples": args.resamples, "seed": args.seed}
        record = {"format": "ednd-nmt.payoff", "version": 1, "decision": asdict(decision), **choices}
        with atomic_writer(args.json) as stream:
            json.dump({**record, "sets": results}, stream, indent=1, allow_nan=False)
            stream.write("\n")
    return 0


def _lines(result: Payoff, name: str) -> list[str]:
    """What is known of one set, line by line."""
    if result.reranked is None or result.lengths is None:
        return [f"no references; {100 * result.abstained:.1f} % abstained by the threshold"]
    searched, reranked = (f", length {length:.3f} of the references'" for length in result.lengths)
    lines = [
        f"{'as searched':33s} {name} {result.searched:.2f}{searched}",
        _line("reranked", name, result.reranked) + reranked,
    ]
    for what, gain in (("kept by the threshold", result.kept), ("kept by the share", result.budget)):
        if gain is not None:
            lines.append(_line(f"{what:24s} {100 * gain.share:6.1f} %", name, gain))
    if result.abstained == 1:
        lines.append("nothing is kept by the threshold")
    return lines


def _line(what: str, name: str, gain: Gain) -> str:
    return (
        f"{what:33s} {name} {gain.score:.2f}, gain {gain.difference:+.2f} "
        f"[{gain.interval.low:+.2f}, {gain.interval.high:+.2f}], p = {gain.p_value:.3f}"
    )
