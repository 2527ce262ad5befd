"""``ednd-nmt calibrate``: fit the map from uncertainty to the probability of a bad translation."""

from __future__ import annotations

import argparse
from functools import partial

from ednd_nmt.evaluation.command import QUALITY_HELP


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``ednd-nmt calibrate``."""
    parser.add_argument("valid", help="uncertainty file of a validation set with references")
    parser.add_argument(
        "--output", required=True, metavar="PATH", help="where the calibration is saved (JSON)"
    )
    parser.add_argument("--measures", nargs="+", metavar="MEASURE", help="measures to use (default: sTU)")
    parser.add_argument("--quality", default="bleu", metavar="METRIC", help=QUALITY_HELP)
    parser.add_argument(
        "--threshold",
        type=float,
        default=30.0,
        help="a translation is bad below this quality, by TER above it (default: 30)",
    )
    parser.add_argument(
        "--test", metavar="PATH", help="uncertainty file of a test set on which it is checked"
    )


def run(args: argparse.Namespace) -> int:
    """Fit, save, and check on the test set; returns the exit code.

    Raises:
        UserError: faulty files or options.
    """
    from ednd_nmt.evaluation.calibration import (
        brier_score,
        expected_calibration_error,
        fit_calibration,
        is_bad,
        reliability,
    )
    from ednd_nmt.evaluation.columns import read_columns
    from ednd_nmt.evaluation.quality import check_metric
    from ednd_nmt.files import atomic_writer, figures_beside

    check_metric(args.quality)
    measures = args.measures or ["sTU"]
    calibration = fit_calibration(read_columns(args.valid), measures, args.quality, args.threshold)
    say = partial(print, file=figures_beside(args.output))
    with atomic_writer(args.output) as stream:
        stream.write(calibration.to_json() + "\n")
    say(f"{args.output}: fitted on {calibration.sentences:,} sentences by {', '.join(calibration.measures)}")
    if args.test is None:
        return 0
    columns = read_columns(args.test)
    mismatch = calibration.mismatch(columns.header)
    if mismatch is not None:
        say(f"{args.test}: the calibration was fitted on {mismatch}: p_bad may be less true")
    probability = calibration.probability(columns.measures)
    bad = is_bad(columns, args.quality, args.threshold)
    say(f"{args.test}: {len(columns):,} sentences, {100 * bad.mean():.1f} % bad")
    say(f"  expected calibration error  {expected_calibration_error(probability, bad):.3f} ↓")
    say(
        f"  Brier score                 {brier_score(probability, bad):.3f} ↓  ({bad.var():.3f} without a measure)"
    )
    say("  predicted  observed  sentences")
    for point in reliability(probability, bad):
        say(f"  {100 * point.predicted:7.1f} %  {100 * point.observed:6.1f} %  {point.count:9,}")
    return 0
