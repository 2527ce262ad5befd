"""One pass of the ensemble over the transfer set, whose opinions are stored for the student's training."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from fairseq import options as fairseq_options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.tasks.translation import TranslationTask
from fairseq.utils import move_to_cuda

from ednd_nmt.chunked import DEFAULT_CHUNK_BUDGET_MIB, token_chunks
from ednd_nmt.ensemble import ensemble_statistics
from ednd_nmt.errors import UserError
from ednd_nmt.stored_targets import Rows, TailAverage, checksum, compress, stored_targets_writer
from ednd_nmt.teacher import Teacher, load_teacher, split_paths

_WINDOW = 2048
"""Sentences whose batches are sorted by length together; their rows are written in one piece."""


def store_targets(options: Namespace) -> Iterator[tuple[int, int]]:
    """Do what ``ednd-nmt store`` is asked for, see :mod:`ednd_nmt.store_command`; yields sentences done and in all.

    Raises:
        UserError: data or members are missing or do not fit together, an option makes no sense, or the output cannot be
            written.
    """
    if not os.path.isdir(options.data):
        raise UserError(
            f"There is no folder of binarised data at {options.data}; make it with fairseq-preprocess."
        )
    # Through fairseq's own parser, which alone fills in the options that others interpolate.
    words = [
        options.data,
        "--source-lang",
        options.source_lang,
        "--target-lang",
        options.target_lang,
        "--path",
        "none",
    ]
    parsed = fairseq_options.parse_args_and_arch(fairseq_options.get_generation_parser(), words)
    task = TranslationTask.setup_task(convert_namespace_to_omegaconf(parsed).task)
    device = torch.device("cuda" if torch.cuda.is_available() and not options.cpu else "cpu")
    teacher = load_teacher(options.ensemble_paths, task, device, options.fp16_ensemble)
    for subset in options.subsets:
        try:
            task.load_dataset(subset)
        except FileNotFoundError as error:
            raise UserError(
                f"{options.data} has no set {subset}; name those to be stored with --subsets."
            ) from error
    total, done = sum(len(task.dataset(subset)) for subset in options.subsets), 0
    members = [checksum(path) for path in split_paths(options.ensemble_paths)]
    classes = len(task.target_dictionary)
    tail = TailAverage(classes)
    with stored_targets_writer(options.output, classes, options.top_k, members) as writer:
        for subset in options.subsets:
            dataset = task.dataset(subset)
            writer.add_subset(subset, np.asarray(dataset.tgt_sizes))
            for start in range(0, len(dataset), _WINDOW):
                window = np.arange(start, min(start + _WINDOW, len(dataset)))
                writer.write(subset, start, _rows_of(task, dataset, window, teacher, device, options, tail))
                done += len(window)
                yield done, total
        writer.set_tail(tail.shape())


def _rows_of(
    task: Any,
    dataset: Any,
    window: np.ndarray,
    teacher: Teacher,
    device: torch.device,
    options: Namespace,
    tail: TailAverage,
) -> list[Rows]:
    """The rows of the sentences of ``window``, in its order; ``tail`` takes their tokens into account."""
    rows: dict[int, Rows] = {}
    pad = task.target_dictionary.pad()
    by_length = window[np.lexsort((dataset.src_sizes[window], dataset.tgt_sizes[window]))]
    for numbers in dataset.batch_by_size(by_length, max_tokens=options.max_tokens):
        batch = dataset.collater([dataset[number] for number in numbers])
        sample = move_to_cuda(batch) if device.type == "cuda" else batch
        selection = sample["target"].ne(pad)
        tokens = sample["target"][selection]
        member_logits = teacher.decode(sample, selection)
        parts = []
        for chunk in token_chunks(
            len(tokens), len(task.target_dictionary), torch.float32, DEFAULT_CHUNK_BUDGET_MIB
        ):
            statistics = ensemble_statistics(member_logits(chunk))
            compressed = compress(statistics, tokens[chunk], options.top_k)
            tail.add(statistics, compressed)
            parts.append({name: column.cpu() for name, column in compressed.items()})
        columns = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        lengths = selection.sum(dim=-1).tolist()
        split = {name: column.split(lengths) for name, column in columns.items()}
        for place, number in enumerate(sample["id"].tolist()):
            rows[number] = {name: column[place] for name, column in split.items()}
    return [rows[number] for number in window]
