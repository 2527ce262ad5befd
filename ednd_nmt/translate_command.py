"""``ednd-nmt translate`` and ``ednd-nmt score``: the Python interface at the command line."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import logging
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any

from ednd_nmt.errors import UserError

if TYPE_CHECKING:
    from ednd_nmt.formats import OutputFormat
    from ednd_nmt.records import Sentence

PROGRESS_SECONDS = 10.0


def add_translate_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``ednd-nmt translate``."""
    _add_common(parser)
    parser.add_argument(
        "--input", metavar="FILE", help="raw text, one sentence per line (default: standard input)"
    )
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--nbest", type=int, default=1, help="hypotheses per sentence, also for its measures")
    parser.add_argument("--max-len-a", type=float, default=1.5, metavar="A")
    parser.add_argument(
        "--max-len-b", type=int, default=10, metavar="B", help="at most A x source + B pieces"
    )
    parser.add_argument("--lenpen", type=float, default=1.0, help="length penalty; above 1 favours long ones")


def add_score_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``ednd-nmt score``."""
    _add_common(parser)
    parser.add_argument("--source", required=True, metavar="FILE", help="raw text, one sentence per line")
    parser.add_argument(
        "--target", required=True, metavar="FILE", help="its translation, by whomever, line by line"
    )


def _add_common(parser: argparse.ArgumentParser) -> None:
    from ednd_nmt.formats import DEFAULT_MEASURE, FORMATS

    parser.add_argument(
        "--model", required=True, metavar="DIR[:DIR]", help="model folder; several are an ensemble"
    )
    parser.add_argument(
        "--output", metavar="FILE", help="appears whole or not at all (default: standard output)"
    )
    parser.add_argument(
        "--format", default="text", choices=tuple(FORMATS), help="default: uncertainty and translation"
    )
    parser.add_argument(
        "--measure", default=DEFAULT_MEASURE, help="the one uncertainty shown (default: %(default)s)"
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument(
        "--decoding", default="mode", choices=("mode", "mean"), help="of a student's Dirichlet"
    )
    parser.add_argument("--max-tokens", type=int, default=4000, help="pieces per batch")
    parser.add_argument("--batch-size", type=int, help="sentences per batch at most")
    parser.add_argument(
        "--buffer-size", type=int, default=1000, help="lines read before they are batched by length"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")


def run_translate(args: argparse.Namespace) -> int:
    """Translate text; the exit code.

    Raises:
        UserError: a faulty model folder, input or option.
    """
    from ednd_nmt.text_input import text_lines
    from ednd_nmt.translator import DirichletTransformer, SearchOptions

    options = SearchOptions(
        beam=args.beam, nbest=args.nbest, max_len_a=args.max_len_a, max_len_b=args.max_len_b, lenpen=args.lenpen,
        max_tokens=args.max_tokens, batch_size=args.batch_size,
    )  # fmt: skip
    with _opened(args.input) as stream:
        model = _loaded(args, DirichletTransformer)
        lines = text_lines(stream, args.input or "the standard input")
        found = model.translate_lines(lines, options, args.buffer_size)
        _write(args, _format(args, model.header(options)), found)
    return 0


def run_score(args: argparse.Namespace) -> int:
    """Score given translations; the exit code.

    Raises:
        UserError: a faulty model folder, input or option.
    """
    from ednd_nmt.text_input import paired_lines, text_lines
    from ednd_nmt.translator import DirichletTransformer, SearchOptions

    options = SearchOptions(max_tokens=args.max_tokens, batch_size=args.batch_size)
    with _opened(args.source) as source, _opened(args.target) as target:
        model = _loaded(args, DirichletTransformer)
        pairs = paired_lines(
            text_lines(source, args.source), text_lines(target, args.target), (args.source, args.target)
        )
        found = model.score_lines(pairs, options, args.buffer_size)
        _write(args, _format(args, model.header(options, scoring=True)), found)
    return 0


def _loaded(args: argparse.Namespace, kind: Any) -> Any:
    if args.buffer_size < 1:
        raise UserError("--buffer-size must be at least 1.")
    logging.getLogger("fairseq").setLevel(logging.WARNING)
    warnings.simplefilter("ignore")  # torch's advice to its own callers, about fairseq's code
    return kind.from_pretrained(args.model, args.device, args.decoding)


def _format(args: argparse.Namespace, header: Any) -> OutputFormat:
    from ednd_nmt.formats import FORMATS

    return FORMATS[args.format](header, args.measure)


@contextlib.contextmanager
def _opened(path: str | None) -> Iterator[IO[bytes]]:
    if path is None:
        yield sys.stdin.buffer
        return
    try:
        stream = open(path, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}.") from error
    with stream:
        yield stream


def _write(args: argparse.Namespace, output_format: OutputFormat, found: Iterable[Sentence]) -> None:
    from ednd_nmt.files import atomic_writer

    with contextlib.ExitStack() as stack:
        if args.output is not None:
            stream: IO[str] = stack.enter_context(atomic_writer(args.output))
        else:
            sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
            stream = sys.stdout
        started = time.monotonic()
        sentences = iter(found)
        first = next(sentences, None)
        stream.write(output_format.head(first))
        rest = itertools.chain([first] if first is not None else [], sentences)
        for number, sentence in enumerate(rest if args.quiet else _with_progress(rest, started), start=1):
            stream.write(output_format.sentence(sentence))
            if number % args.buffer_size == 0:
                stream.flush()


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
