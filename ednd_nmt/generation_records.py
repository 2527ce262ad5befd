"""From fairseq's batches and hypotheses to the lines of an uncertainty file."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import shlex
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ednd_nmt.errors import UserError
from ednd_nmt.evaluation.aggregation import sentence_measures
from ednd_nmt.files import refuse_own_input
from ednd_nmt.formats import format_named
from ednd_nmt.measures import hypothesis_measures
from ednd_nmt.record_writer import RecordWriter, remaining_batches
from ednd_nmt.records import Header, Hypothesis, Sentence, not_finite
from ednd_nmt.system import System
from ednd_nmt.text_input import read_lines
from ednd_nmt.version import __version__

logger = logging.getLogger(__name__)

TOKEN_MEASURES = ("TU", "DU", "MI", "EPKL", "MKL", "precision", "sMKL", "log_probability")
"""Token-level columns that are written out, where the system has them."""


class GenerationRecords:
    """The uncertainty file of one run of ``fairseq-generate``.

    A run that was interrupted leaves what it has; the same command takes it over and translates the other batches.

    Args:
        path: the file.
        dataset: fairseq's data set.
        batches: all batches of this run, each a list of ids.

    Attributes:
        left: the batches that are to be translated.

    Raises:
        UserError: there are no sentences; the output cannot be written.
    """

    def __init__(self, path: str, dataset: Any, batches: Sequence[Sequence[int]]) -> None:
        if not batches:
            raise UserError(
                "There is no sentence to translate: the set or this shard of it is empty; use fewer shards."
            )
        self._dataset = dataset
        self._batches = [list(map(int, batch)) for batch in batches]  # fairseq's are of numpy
        self._writer = RecordWriter(path)
        self.left = remaining_batches(self._batches, self._writer.done)

    def start(self, task: Any, system: System, models: Sequence[Any], generation: Any) -> None:
        """Begin to write.

        Args:
            task: the running task (dictionaries, codecs, options).
            system: what is decoded with.
            models: the models themselves.
            generation: fairseq's generation options.

        Raises:
            UserError: a raw text file does not fit the data set; what is to be gone on with was made by another command,
                other models or data; the output cannot be written.
        """
        self._task = task
        dataset_size, ids = len(self._dataset), [index for batch in self._batches for index in batch]
        self._nbest = generation.nbest
        # str: fairseq's choices are enumerations on one path and plain strings on another
        self._weighting = (str(task.cfg.uncertainty_weighting), task.cfg.uncertainty_temperature)
        refuse_own_input(self._writer.path, filter(None, (task.cfg.raw_source, task.cfg.raw_reference)))
        self._sources = read_raw_lines(task.cfg.raw_source, dataset_size, "--raw-source")
        self._references = read_raw_lines(task.cfg.raw_reference, dataset_size, "--raw-reference")
        if len(ids) < dataset_size:
            logger.info(
                "%d of the %d sentences are translated in this run (another shard, or longer than the model's positions)",
                len(ids),
                dataset_size,
            )
        expected = [index for batch in self.left for index in batch]
        if len(expected) < len(ids):
            logger.info(
                "going on where an interrupted run stopped: %d sentences are recorded, %d are left, and only of these "
                "fairseq prints translations and a BLEU score",
                len(ids) - len(expected),
                len(expected),
            )
        header = self._header(task.cfg, system, generation)
        output_format = format_named(task.cfg.uncertainty_format)(header, task.cfg.uncertainty_measure)
        self._writer.start(output_format, expected, self._maker(models, ids))

    def add(self, sample: Any, hypotheses: Sequence[Sequence[dict[str, Any]]]) -> None:
        """Write one batch."""
        self._writer.add(
            self._sentence(index, sample, row, hypotheses[row][: self._nbest])
            for row, index in enumerate(sample["id"].tolist())
        )
        if self._writer.complete:
            logger.info("uncertainties are in %s", self._writer.path)

    def _maker(self, models: Sequence[Any], ids: Sequence[int]) -> dict[str, str]:
        """Everything that the records depend on."""
        weights, data = hashlib.sha256(), hashlib.sha256()
        for model in models:
            for name, tensor in model.state_dict().items():
                weights.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                weights.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        for index in ids:
            item = self._dataset[index]
            for side in ("source", "target"):
                if item[side] is not None:
                    data.update(item[side].numpy().tobytes())
            raw = [lines[index] for lines in (self._sources, self._references) if lines is not None]
            data.update(json.dumps([index, raw]).encode())
        return {
            "command": shlex.join(sys.argv[1:]),
            "models": weights.hexdigest(),
            "data": data.hexdigest(),
            "versions": json.dumps(versions()),
        }

    @staticmethod
    def _header(config: Any, system: System, generation: Any) -> Header:
        return system.header(
            generation,
            scored=getattr(generation, "score_reference", False),
            penalty=config.uncertainty_penalty,
            penalty_measure=config.penalty_measure,
            seed=torch.initial_seed(),
            source_lang=config.source_lang,
            target_lang=config.target_lang,
            weighting=str(config.uncertainty_weighting),
            temperature=config.uncertainty_temperature,
            versions=versions(),
        )

    def _sentence(self, index: int, sample: Any, row: int, found: Sequence[dict[str, Any]]) -> Sentence:
        dictionary = self._task.target_dictionary
        hypotheses = tuple(
            hypothesis_record(hypothesis, dictionary, self._text(hypothesis["tokens"], dictionary))
            for hypothesis in found
        )
        reference = None
        if self._references is not None:
            reference = self._references[index]
        elif sample["target"] is not None:
            reference = self._text(sample["target"][row], self._task.target_dictionary)
        return Sentence(
            id=index,
            source=(
                self._sources[index]
                if self._sources is not None
                else self._text(sample["net_input"]["src_tokens"][row], self._task.source_dictionary)
            ),
            reference=reference,
            hypotheses=hypotheses,
            measures=sentence_measures(hypotheses, *self._weighting),
        )

    def _text(self, tokens: Tensor, dictionary: Any) -> str:
        """Pieces joined and detokenised, as ``fairseq-generate`` does for its D lines."""
        from fairseq.data.data_utils import post_process

        pieces = pieces_of(tokens, dictionary)
        model = getattr(self._task.bpe, "sp", None)
        if model is not None:  # sentencepiece itself, since fairseq's codec leaves byte pieces undecoded
            text = model.decode(pieces)
        else:
            text = post_process(" ".join(pieces), self._task.cfg.post_process)
            if self._task.bpe is not None:
                text = self._task.bpe.decode(text)
        return self._task.tokenizer.decode(text) if self._task.tokenizer is not None else text


def hypothesis_record(found: dict[str, Any], dictionary: Any, text: str) -> Hypothesis:
    """A hypothesis of the recording search as it stands in a file.

    Args:
        found: fairseq's hypothesis with its columns under ``uncertainty``.
        dictionary: the target side's.
        text: the hypothesis, its pieces joined and detokenised.

    Raises:
        UserError: a measure is not finite.
    """
    columns = {name: column.numpy().astype(np.float64) for name, column in found["uncertainty"].items()}
    measures = hypothesis_measures(columns)
    if not math.isfinite(sum(measures.values())):
        raise not_finite(f"The translation {text!r}")
    return Hypothesis(
        text=text,
        tokens=tuple(map(dictionary.symbols.__getitem__, found["tokens"].tolist())),
        score=float(found["score"]),
        log_probability=float(columns["log_probability"].sum()),
        measures=measures,
        token_measures={name: tuple(columns[name].tolist()) for name in TOKEN_MEASURES if name in columns},
    )


def pieces_of(tokens: Tensor, dictionary: Any) -> list[str]:
    """The pieces of a sentence without padding, BOS and EOS; ``Dictionary.string`` takes ten times as long."""
    left_out = {dictionary.pad(), dictionary.eos(), dictionary.bos()}
    return [dictionary.symbols[token] for token in tokens.tolist() if token not in left_out]


def read_raw_lines(path: str | None, expected: int, flag: str) -> list[str] | None:
    """The lines of a text file that must have ``expected`` of them; None without a path.

    Raises:
        UserError: the file cannot be read, is no text in UTF-8, or has another number of lines.
    """
    if path is None:
        return None
    lines = read_lines(path, f"mend {flag}")
    if len(lines) != expected:
        raise UserError(f"{path} has {len(lines)} lines but the data set {expected} sentences; mend {flag}.")
    return lines


def versions() -> dict[str, str]:
    """Versions of everything that a figure may depend on."""
    found = {"ednd_nmt": __version__, "python": sys.version.split()[0], "torch": torch.__version__}
    for distribution in ("fairseq", "ve-fairseq", "fairseq-fixed", "numpy", "sentencepiece"):
        try:
            found[distribution] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return found
