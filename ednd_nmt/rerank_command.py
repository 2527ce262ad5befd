"""``ednd-nmt rerank``: act on the uncertainties of a file that is there already."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``ednd-nmt rerank``."""
    from ednd_nmt.decision_options import add_decision_arguments
    from ednd_nmt.formats import DEFAULT_MEASURE, FORMATS

    parser.add_argument("file", help="uncertainty file, whichever command wrote it")
    parser.add_argument("--output", required=True, metavar="FILE", help="appears whole or not at all")
    parser.add_argument(
        "--format", default="jsonl", choices=tuple(FORMATS), help="default: an uncertainty file again"
    )
    parser.add_argument(
        "--measure",
        default=DEFAULT_MEASURE,
        help="what reranks, abstains and is shown (default: %(default)s); disagreement is computed on the way",
    )
    add_decision_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Rerank, calibrate, abstain and write; the exit code.

    Raises:
        UserError: a faulty file or option.
    """
    from ednd_nmt.decision_options import Acting
    from ednd_nmt.errors import UserError
    from ednd_nmt.files import atomic_writer, refuse_pipe
    from ednd_nmt.formats import format_named
    from ednd_nmt.record_reader import read_records

    acting = Acting.of(args)
    if acting.idle and args.abstain_share is None:
        raise UserError(
            "Nothing is to be done; give --decision, --penalty, --abstain-above, --abstain-share or --calibrator."
        )
    if args.abstain_share is not None:
        refuse_pipe(Path(args.file), "--abstain-share")
    header, sentences = read_records(args.file)
    if args.abstain_share is not None:
        acting = acting.with_budget(sentences, header, args.measure, args.abstain_share)
        header, sentences = read_records(args.file)
    output_format = format_named(args.format)(acting.header(header), args.measure)
    count = changed = abstained = 0
    with atomic_writer(args.output) as stream:
        for count, sentence in enumerate(sentences, start=1):
            result = acting.apply(sentence, header)
            if count == 1:
                stream.write(output_format.head(result))
            stream.write(output_format.sentence(result))
            changed += result.text != sentence.text
            abstained += bool(result.abstained)
        if count == 0:
            stream.write(output_format.head(None))
    print(
        f"{args.output}: {count:,} sentences, {changed:,} with another translation, {abstained:,} abstained",
        file=sys.stderr,
    )
    return 0
