"""One pass of the ensemble over the transfer set, whose opinions are stored for the student's training."""

from __future__ import annotations

import hashlib
import os
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from fairseq import options as fairseq_options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.tasks.translation import TranslationTask
from fairseq.utils import move_to_cuda

from ednd_nmt.chunked import DEFAULT_CHUNK_BUDGET_MIB, MemberLogits, token_chunks
from ednd_nmt.ensemble import ensemble_statistics
from ednd_nmt.errors import UserError
from ednd_nmt.files import checksum
from ednd_nmt.finiteness import Examination, sentences_of
from ednd_nmt.rows import select_rows
from ednd_nmt.stored_targets import Rows, TailAverage, compress
from ednd_nmt.stored_targets_writer import stored_targets_writer
from ednd_nmt.teacher import Teacher, ensemble_dtype, load_teacher, split_paths

_TENSORS_PER_CHUNK = 6
"""Vocabulary-sized ones alive at once: mean, mean logarithm, and what a chunk's share of the tail is made of."""

_WINDOW = 2048
"""Sentences whose batches are sorted by length together; their rows are written in one piece, and then on the disk."""


def store_targets(options: Namespace, say: Callable[[str], None]) -> Iterator[tuple[int, int]]:
    """Do what ``ednd-nmt store`` is asked for, see :mod:`ednd_nmt.store_command`; yields sentences done and in all.

    Args:
        options: of the command line.
        say: gets a line of news now and then, for the user.

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
    if options.upsample_primary is not None:
        words += ["--upsample-primary", str(options.upsample_primary)]
    parsed = fairseq_options.parse_args_and_arch(fairseq_options.get_generation_parser(), words)
    task = TranslationTask.setup_task(convert_namespace_to_omegaconf(parsed).task)
    device = torch.device("cuda" if torch.cuda.is_available() and not options.cpu else "cpu")
    dtype = ensemble_dtype(options)
    teacher = load_teacher(options.ensemble_paths, task, device, dtype)
    for subset in options.subsets:
        combine = subset == options.train_subset  # as fairseq-train does
        if combine and options.upsample_primary is None and _shards(options, subset):
            raise UserError(
                f"{options.data} has several parts of {subset} ({subset}, {subset}1 ...), which a training combines; "
                "say how often the first one is in it by --upsample-primary, here and there."
            )
        try:
            task.load_dataset(subset, combine=combine)
        except FileNotFoundError as error:
            raise UserError(
                f"{options.data} has no set {subset}; name those to be stored with --subsets."
            ) from error
        if task.dataset(subset).tgt is None:
            raise UserError(
                f"{options.data} has no {options.target_lang} side of the set {subset}, whose tokens the targets belong to; "
                "binarise it with both sides, or leave the set out of --subsets."
            )
        numbers = np.arange(len(task.dataset(subset)))
        _, too_long = task.dataset(subset).filter_indices_by_size(numbers, teacher.max_positions())
        if too_long:
            source, target = task.dataset(subset).size(too_long[0])
            raise UserError(
                f"Sentence {too_long[0]} of {subset} (counted from 0) has {source} source and {target} target tokens, and "
                f"the learned positions of the members end at {' and '.join(map(str, teacher.max_positions()))}; leave such "
                "sentences out of the data."
            )
    lengths = {subset: np.asarray(task.dataset(subset).tgt_sizes) for subset in options.subsets}
    for subset in lengths:
        longest = int(task.dataset(subset).num_tokens_vec(np.arange(len(lengths[subset]))).max(initial=0))
        if longest > options.max_tokens:
            raise UserError(
                f"--max-tokens is {options.max_tokens}, but a sentence of {subset} has {longest} tokens; give as many."
            )
    total, done = sum(map(len, lengths.values())), 0
    members = [checksum(path) for path in split_paths(options.ensemble_paths)]
    classes = len(task.target_dictionary)
    maker = {
        "data": _checksum_of_data(options),
        "max-tokens": str(options.max_tokens),  # padding and the order of sums change the last bits
        "precision": str(dtype or torch.float32).removeprefix("torch."),
        "upsample-primary": str(options.upsample_primary),
    }
    with stored_targets_writer(
        options.output, lengths, classes, options.top_k, members, maker, say
    ) as writer:
        for subset in lengths:  # each once, however often it was named
            dataset = task.dataset(subset)
            for start in range(0, len(dataset), _WINDOW):
                window = np.arange(start, min(start + _WINDOW, len(dataset)))
                done += len(window)
                if done <= writer.done:  # an earlier run has stored them
                    continue
                rows = _rows_of(task, subset, window, teacher, device, options, writer.tail)
                writer.write(subset, start, rows)
                writer.commit(done)
                yield done, total


def _shards(options: Namespace, subset: str) -> list[Path]:
    """Files of the further parts of a set that fairseq numbers: train1, train2 ..."""
    return list(Path(options.data).glob(f"{subset}1.*"))


def _checksum_of_data(options: Namespace) -> str:
    """One of all files that the sets are read from."""
    patterns = [*(f"{subset}.*" for subset in options.subsets), f"{options.train_subset}[0-9]*.*", "dict.*"]
    files = sorted(path for pattern in patterns for path in Path(options.data).glob(pattern))
    lines = [f"{path.name} {checksum(path)}\n" for path in files if path.is_file()]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _rows_of(
    task: Any,
    subset: str,
    window: np.ndarray,
    teacher: Teacher,
    device: torch.device,
    options: Namespace,
    tail: TailAverage,
) -> list[Rows]:
    """The rows of the sentences of ``window``, in its order; ``tail`` takes their tokens into account.

    Raises:
        UserError: a member's logits are not finite.
    """
    rows: dict[int, Rows] = {}
    dataset = task.dataset(subset)
    pad = task.target_dictionary.pad()
    by_length = window[np.lexsort((dataset.src_sizes[window], dataset.tgt_sizes[window]))]
    for numbers in dataset.batch_by_size(by_length, max_tokens=options.max_tokens):
        batch = dataset.collater([dataset[number] for number in numbers])
        sample = move_to_cuda(batch) if device.type == "cuda" else batch
        selection = sample["target"].ne(pad)
        positions = selection.flatten().nonzero().squeeze(1)
        tokens = select_rows(sample["target"], positions)
        member_logits = teacher.decode(sample, positions)
        parts = []
        for chunk in token_chunks(
            len(tokens),
            len(task.target_dictionary),
            _TENSORS_PER_CHUNK,
            torch.float32,
            DEFAULT_CHUNK_BUDGET_MIB,
        ):
            statistics = ensemble_statistics(member_logits(chunk))
            if not torch.isfinite(statistics.mkl).all():  # of any member's NaN or infinity
                _name_the_fault(
                    member_logits, chunk, teacher, f"The batch of {subset} with {sentences_of(sample)}"
                )
            compressed = compress(statistics, tokens[chunk], options.top_k)
            tail.add(statistics, compressed)
            parts.append({name: column.cpu() for name, column in compressed.items()})
        columns = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        lengths = selection.sum(dim=-1).tolist()
        split = {name: column.split(lengths) for name, column in columns.items()}
        for place, number in enumerate(sample["id"].tolist()):
            rows[number] = {name: column[place] for name, column in split.items()}
    return [rows[number] for number in window]


def _name_the_fault(member_logits: MemberLogits, chunk: slice, teacher: Teacher, batch: str) -> NoReturn:
    """Say whose logits are not finite.

    Raises:
        UserError: always.
    """
    examination = Examination(batch, "no finite targets")
    for name, logits in zip(teacher.names, member_logits(chunk), strict=True):
        examination.look(f"the logits of {name}", logits, teacher.remedy)
    raise UserError(
        f"{batch} has no finite targets, although all logits are finite: they are too large; {teacher.remedy}."
    )
