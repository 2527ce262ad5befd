"""What the Proxy-Dirichlet of an ensemble would say of the ensemble's own translations: what it teaches.

    python -m examples.study.proxy translations/ensemble --classes 8001 --output study/translations/proxy

reads the ensemble's uncertainty files and writes files of the same names into the other folder, for ``ednd-nmt evaluate``.
At every token they have a Dirichlet with concentrations ``beta0 pbar + offset``, beta0 = (K - 1) / (2 MKL), in the members'
place, and so what a student without any error of its own would measure: sTU, sDU, sMKL, EPKL and logvar. (The others need
the whole distribution, which a file does not hold.)
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from ednd_nmt.dirichlet import dirichlet_log_probability, dirichlet_token_mkl, log_probability_variance
from ednd_nmt.errors import UserError, exit_status
from ednd_nmt.evaluation.aggregation import sentence_measures
from ednd_nmt.files import atomic_writer, refuse_own_input
from ednd_nmt.measures import hypothesis_measures
from ednd_nmt.proxy import MAXIMUM_PRECISION_PER_CLASS
from ednd_nmt.record_reader import read_records
from ednd_nmt.records import Header, Hypothesis, Sentence, header_to_json, sentence_to_json


def of_hypothesis(hypothesis: Hypothesis, classes: int, offset: float) -> Hypothesis:
    """The same translation with the token columns EPKL, log_probability, sMKL and logvar of the Dirichlet of every token."""
    log_mean, mkl = (
        torch.tensor(hypothesis.token_measures[name], dtype=torch.float64)
        for name in ("log_probability", "MKL")
    )
    precision = ((classes - 1) / (2 * mkl)).clamp(max=MAXIMUM_PRECISION_PER_CLASS * (classes - 1))
    logit = (precision.log() + log_mean).unsqueeze(-1)  # of the chosen token, all that is looked at
    token, alpha0 = torch.zeros_like(log_mean, dtype=torch.long), precision + classes * offset
    columns = {
        "EPKL": (classes - 1) / alpha0,
        **{
            name: column(logit, token, offset, precision=alpha0)
            for name, column in (
                ("log_probability", dirichlet_log_probability),
                ("sMKL", dirichlet_token_mkl),
                ("logvar", log_probability_variance),
            )
        },
    }
    return replace(
        hypothesis,
        measures=hypothesis_measures({name: column.numpy() for name, column in columns.items()}),
        token_measures={name: tuple(column.tolist()) for name, column in columns.items()},
    )


def of_sentence(sentence: Sentence, header: Header, classes: int, offset: float) -> Sentence:
    """The same sentence with :func:`of_hypothesis` of its list, weighed as before."""
    hypotheses = tuple(of_hypothesis(hypothesis, classes, offset) for hypothesis in sentence.hypotheses)
    measures = sentence_measures(hypotheses, header.weighting, header.temperature)
    return replace(sentence, hypotheses=hypotheses, measures=measures)


def lines(path: Path, classes: int, offset: float) -> Iterator[str]:
    """The lines of the new file.

    Raises:
        UserError: the file is faulty, or not of an ensemble.
    """
    header, sentences = read_records(path)
    if header.system != "ensemble":
        raise UserError(f"{path} is of a {header.system}; give the uncertainty files of an ensemble.")
    student = replace(header, system="student", members=1, combination=None, offset=offset, decoding="mode")
    yield header_to_json(student)
    for sentence in sentences:
        yield sentence_to_json(of_sentence(sentence, header, classes, offset))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("ensemble", type=Path, help="folder of its uncertainty files")
    parser.add_argument(
        "--classes", type=int, required=True, metavar="K", help="size of the target dictionary"
    )
    parser.add_argument("--offset", type=float, default=1.0, metavar="C", help="default: %(default)s")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    return exit_status(partial(_write, parser.parse_args(arguments)))


def _write(arguments: argparse.Namespace) -> None:
    if arguments.classes < 2 or not 0 <= arguments.offset < float("inf"):
        raise UserError("--classes must be at least 2, and --offset a finite number from 0.")
    paths = sorted(arguments.ensemble.glob("*.jsonl"))
    if not paths:
        raise UserError(f"{arguments.ensemble} has no uncertainty file (*.jsonl).")
    for path in paths:
        refuse_own_input(arguments.output / path.name, paths)
        with atomic_writer(arguments.output / path.name) as stream:
            for line in lines(path, arguments.classes, arguments.offset):
                stream.write(line + "\n")
        print(arguments.output / path.name, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
