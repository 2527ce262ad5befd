"""``ednd-nmt translate`` and ``ednd-nmt score``: the Python interface at the command line."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ednd_nmt.errors import UserError
from ednd_nmt.fairseq_commands import import_user_dir
from ednd_nmt.formats import DEFAULT_MEASURE, FORMATS, format_named
from ednd_nmt.records import WEIGHTINGS
from ednd_nmt.search_options import COMBINATIONS, CONSTRAINTS, DECODINGS, SearchOptions

if TYPE_CHECKING:
    from ednd_nmt.decision_options import Acting
    from ednd_nmt.records import Header, Sentence
    from ednd_nmt.resumable import ResumableFile
    from ednd_nmt.translator import DirichletTransformer

PROGRESS_SECONDS = 10.0
NOT_IN_THE_OUTPUT = ("run", "model", "input", "source", "target", "output", "quiet", "decision", "calibrator")
"""Options on which the bytes of the output do not depend, or whose contents are looked at instead."""


def add_translate_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``ednd-nmt translate``."""
    from ednd_nmt.decision_options import add_decision_arguments

    _add_common(parser)
    add_decision_arguments(parser)
    parser.add_argument(
        "--input", metavar="FILE", help="raw text, one sentence per line (default: standard input)"
    )
    parser.add_argument(
        "--beam", type=int, default=5, help="hypotheses that a search pursues (default: %(default)s)"
    )
    parser.add_argument(
        "--nbest",
        type=int,
        default=1,
        help="hypotheses per sentence, also for its measures (default: %(default)s)",
    )
    parser.add_argument(
        "--max-len-a",
        type=float,
        default=1.5,
        metavar="A",
        help="at most A x source + B pieces (default: %(default)s)",
    )
    parser.add_argument("--max-len-b", type=int, default=10, metavar="B", help="default: %(default)s")
    parser.add_argument(
        "--min-len", type=int, default=1, metavar="N", help="at least N pieces (default: %(default)s)"
    )
    parser.add_argument(
        "--no-repeat-ngram-size",
        type=int,
        default=0,
        metavar="N",
        help="no N pieces in a row twice in a translation (default: any may)",
    )
    parser.add_argument(
        "--lenpen",
        type=float,
        default=1.0,
        help="length penalty; above 1 favours long ones (default: %(default)s)",
    )
    parser.add_argument("--sampling", action="store_true", help="draw as many translations as --beam says")
    parser.add_argument(
        "--sampling-topk", type=int, default=-1, metavar="K", help="from the K likeliest tokens"
    )
    parser.add_argument(
        "--sampling-topp", type=float, default=-1.0, metavar="P", help="from the likeliest with probability P"
    )
    parser.add_argument("--seed", type=int, default=1, help="of --sampling (default: %(default)s)")
    parser.add_argument(
        "--diverse-beam-groups", type=int, default=-1, metavar="G", help="diverse beam search in G groups"
    )
    parser.add_argument(
        "--diverse-beam-strength", type=float, default=0.5, metavar="S", help="default: %(default)s"
    )
    parser.add_argument(
        "--constraints",
        nargs="?",
        const="ordered",
        choices=CONSTRAINTS,
        help="after a tab in each line stand phrases, separated by tabs, that its translation must hold",
    )
    parser.add_argument(
        "--uncertainty-penalty",
        type=float,
        default=0.0,
        metavar="L",
        help="in the beam: lower each step's log-probabilities by L x --penalty-measure",
    )
    parser.add_argument("--penalty-measure", default="MI", help="default: %(default)s")
    parser.add_argument(
        "--uncertainty-weighting",
        default="posterior",
        choices=WEIGHTINGS,
        help="how a sentence's uncertainty weighs its n-best hypotheses; posterior: softmax(ln P / T)",
    )
    parser.add_argument(
        "--uncertainty-temperature", type=float, default=1.0, metavar="T", help="default: %(default)s"
    )


def add_score_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``ednd-nmt score``."""
    from ednd_nmt.decision_options import add_calibrator_argument

    _add_common(parser)
    add_calibrator_argument(parser)
    parser.add_argument("--source", required=True, metavar="FILE", help="raw text, one sentence per line")
    parser.add_argument(
        "--target", required=True, metavar="FILE", help="its translation, by whomever, line by line"
    )


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", required=True, metavar="DIR[:DIR]", help="model folder; several are an ensemble"
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="appears when it is whole; the same command goes on where an interrupted run stopped "
        "(default: standard output)",
    )
    parser.add_argument(
        "--format",
        default="text",
        metavar="NAME",
        help=f"{', '.join(FORMATS)}, or one of your own (default: %(default)s, uncertainty and translation)",
    )
    parser.add_argument(
        "--measure",
        default=DEFAULT_MEASURE,
        help="the one uncertainty shown, and acted by (default: %(default)s)",
    )
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:N")
    parser.add_argument(
        "--decoding",
        default="mode",
        choices=DECODINGS,
        help="of a student's Dirichlet (default: %(default)s)",
    )
    parser.add_argument(
        "--uncertainty-offset",
        type=float,
        metavar="C",
        help="of a student's concentrations in every measure, in place of the model's own; 0: without its tail",
    )
    parser.add_argument(
        "--ensemble-combination",
        default="pe",
        choices=COMBINATIONS,
        help="of several models: product of expectations, or expectation of products (default: %(default)s)",
    )
    parser.add_argument(
        "--max-tokens", type=int, default=4000, help="pieces per batch (default: %(default)s)"
    )
    parser.add_argument("--batch-size", type=int, help="sentences per batch at most")
    parser.add_argument(
        "--buffer-size",
        type=int,
        default=1000,
        help="lines read before they are batched by length (default: %(default)s)",
    )
    parser.add_argument(
        "--user-dir",
        metavar="DIR",
        help="package of your own with further measures or formats, as for fairseq's commands",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")


def run_translate(args: argparse.Namespace) -> int:
    """Translate text; the exit code.

    Raises:
        UserError: a faulty model folder, input or option.
    """
    from ednd_nmt.decision_options import Acting
    from ednd_nmt.text_input import text_lines
    from ednd_nmt.translator import DirichletTransformer

    if args.abstain_share is not None:
        raise UserError(
            "The most uncertain share of a text is known only at its end; translate with --format jsonl --output FILE, "
            "then run ednd-nmt rerank FILE --abstain-share."
        )
    acting = Acting.of(args)
    options = SearchOptions(
        beam=args.beam, nbest=args.nbest, max_len_a=args.max_len_a, max_len_b=args.max_len_b, min_len=args.min_len,
        no_repeat_ngram_size=args.no_repeat_ngram_size, lenpen=args.lenpen,
        sampling=args.sampling, sampling_topk=args.sampling_topk, sampling_topp=args.sampling_topp, seed=args.seed,
        diverse_beam_groups=args.diverse_beam_groups, diverse_beam_strength=args.diverse_beam_strength,
        constraints=args.constraints, uncertainty_penalty=args.uncertainty_penalty, penalty_measure=args.penalty_measure,
        weighting=args.uncertainty_weighting, temperature=args.uncertainty_temperature,
        max_tokens=args.max_tokens, batch_size=args.batch_size,
    )  # fmt: skip
    with _opened(args.input) as stream:
        model = _loaded(args, DirichletTransformer)
        lines = text_lines(stream, args.input or "the standard input")
        _write(
            args, model, model.header(options), acting, lines,
            lambda rest, first: model.translate_lines(rest, options, args.buffer_size, first),
        )  # fmt: skip
    return 0


def run_score(args: argparse.Namespace) -> int:
    """Score given translations; the exit code.

    Raises:
        UserError: a faulty model folder, input or option.
    """
    from ednd_nmt.decision_options import Acting
    from ednd_nmt.text_input import paired_lines, text_lines
    from ednd_nmt.translator import DirichletTransformer

    acting = Acting.of(args)
    options = SearchOptions(max_tokens=args.max_tokens, batch_size=args.batch_size)
    with _opened(args.source) as source, _opened(args.target) as target:
        model = _loaded(args, DirichletTransformer)
        pairs = paired_lines(
            text_lines(source, args.source), text_lines(target, args.target), (args.source, args.target)
        )
        _write(
            args, model, model.header(options, scoring=True), acting, pairs,
            lambda rest, first: model.score_lines(rest, options, args.buffer_size, first),
        )  # fmt: skip
    return 0


def _loaded(args: argparse.Namespace, kind: Any) -> Any:
    from ednd_nmt.translator import leave_fairseqs_news_out

    if args.buffer_size < 1:
        raise UserError("--buffer-size must be at least 1.")
    if args.user_dir is not None:  # first, since the model may be of an architecture of the user's
        leave_fairseqs_news_out()
        import_user_dir(args.user_dir)
    format_named(args.format)  # before the model is loaded, and after what may have registered it
    return kind.from_pretrained(
        args.model, args.device, args.decoding, args.ensemble_combination, args.uncertainty_offset
    )


@contextlib.contextmanager
def _opened(path: str | None) -> Iterator[IO[bytes]]:
    if path is None:
        if sys.stdin is None:
            raise UserError("The standard input is closed; name a file of text.")
        yield sys.stdin.buffer
        return
    try:
        stream = open(path, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}.") from error
    with stream:
        yield stream


def _write(
    args: argparse.Namespace,
    model: DirichletTransformer,
    header: Header,
    acting: Acting,
    inputs: Iterable[Any],
    work: Callable[[Iterator[Any], int], Iterator[Sentence]],
) -> None:
    """Act on the sentences that ``work`` makes of the inputs (those left, and the number of the first), and write them."""
    output_format = format_named(args.format)(acting.header(header), args.measure)
    with _destination(args, model, header, acting) as output:
        started = time.monotonic()
        rest = output.remaining(inputs, args.buffer_size)
        sentences = (acting.apply(sentence, header) for sentence in work(rest, output.done))
        first = next(sentences, None)
        if first is not None:  # a misspelt measure is an error in the formats that hold them all, too
            output_format.uncertainty(first)
        if output.done == 0:
            output.write(output_format.head(first))
        found = itertools.chain([first] if first is not None else [], sentences)
        for number, sentence in enumerate(
            found if args.quiet else _with_progress(found, started), start=output.done + 1
        ):
            output.write(output_format.sentence(sentence))
            if number % args.buffer_size == 0:
                output.commit(number)


@contextlib.contextmanager
def _destination(
    args: argparse.Namespace, model: DirichletTransformer, header: Header, acting: Acting
) -> Iterator[ResumableFile | _Stream]:
    from ednd_nmt.files import is_special, special_writer
    from ednd_nmt.resumable import resumable_writer

    if args.output is not None and not is_special(Path(args.output)):
        options = {f"--{name.replace('_', '-')}": str(value) for name, value in vars(args).items()
                   if name not in NOT_IN_THE_OUTPUT}  # fmt: skip
        maker = {
            **options, "--model": model.digest(), "version": str(sorted(header.versions.items())),
            "--decision": str(acting.decision), "--calibrator": str(acting.calibration),  # not their names
        }  # fmt: skip
        with resumable_writer(args.output, maker, lambda news: _say(args, news)) as file:
            yield file
        return
    if args.output is not None:
        with special_writer(args.output) as stream:
            yield _Stream(stream)
        return
    if sys.stdout is None:
        raise UserError("The standard output is closed; name a file by --output.")
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    yield _Stream(sys.stdout)
    sys.stdout.flush()


class _Stream:
    """A pipe, a terminal or a device in place of a :class:`ResumableFile`: nothing of it is ever done before."""

    done = 0

    def __init__(self, stream: IO[str]) -> None:
        self.write = stream.write
        self._flush = stream.flush

    def remaining(self, items: Iterable[Any], every: int) -> Iterator[Any]:
        return iter(items)

    def commit(self, sentences: int) -> None:
        self._flush()


def _say(args: argparse.Namespace, news: str) -> None:
    if not args.quiet:
        print(news, file=sys.stderr)


def _with_progress(sentences: Iterable[Sentence], start: float) -> Iterator[Sentence]:
    """The sentences; every few seconds a line on standard error says how many have come since ``start``."""
    said = start
    number = 0
    for number, sentence in enumerate(sentences, start=1):
        now = time.monotonic()
        if now - said >= PROGRESS_SECONDS:
            said = now
            print(f"{number:,} sentences, {number / (now - start):.1f} a second", file=sys.stderr)
        yield sentence
    print(f"{number:,} sentences in {time.monotonic() - start:.1f} s", file=sys.stderr)
