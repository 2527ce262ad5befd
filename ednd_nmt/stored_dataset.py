"""A data set whose batches carry the stored targets of their tokens."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from fairseq.data import BaseWrapperDataset

from ednd_nmt.errors import UserError
from ednd_nmt.stored_targets import STORED_TARGETS, StoredTargets


class StoredTargetsDataset(BaseWrapperDataset):
    """fairseq's pair of languages, and in every batch the rows of :class:`ednd_nmt.stored_targets.StoredTargets`.

    Args:
        dataset: the pairs, in the order of the file.
        path: the file; each process that loads data opens it for itself, also one that was forked from a process that had.
        subset: name of the data set in the file.
        pad: number of the padding symbol.

    Raises:
        UserError: the file is missing or damaged, or is not one of this data set.
    """

    def __init__(self, dataset: Any, path: str, subset: str, classes: int, pad: int) -> None:
        super().__init__(dataset)
        self._path, self._subset, self._pad = path, subset, pad
        self._file: StoredTargets | None = None
        self._opened_by = 0  # the process
        with StoredTargets(path) as file:
            if file.classes != classes:
                raise UserError(
                    f"The stored targets in {path} are about {file.classes} symbols, the student's target dictionary has "
                    f"{classes}; binarise its data with the members' dictionaries and make them again with `ednd-nmt store`."
                )
            if subset not in file.subsets or file.sentences(subset) != len(dataset):
                found = f"{file.sentences(subset)}" if subset in file.subsets else "none"
                raise UserError(
                    f"The set {subset} has {len(dataset)} sentences, the file of stored targets {path} has {found} of it; "
                    f"make it again with `ednd-nmt store --subsets ...{subset}`, and the same --upsample-primary."
                )
            # The tokens themselves are compared as they are read; a set in another order is told here, before any training.
            if not np.array_equal(file.lengths(subset), dataset.tgt_sizes):
                raise file.other_data(subset)

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs: not the open file."""
        return {**self.__dict__, "_file": None}

    def collater(self, samples: Any, **options: Any) -> Any:
        """fairseq's batch with the rows of its target tokens, in the order of ``target[target != pad]``.

        Raises:
            UserError: the file was made from other data.
        """
        batch = self.dataset.collater(samples, **options)
        if batch:
            if self._file is None or self._opened_by != os.getpid():
                self._file, self._opened_by = StoredTargets(self._path), os.getpid()
            target = batch["target"]
            batch[STORED_TARGETS] = self._file.read(
                self._subset, batch["id"].tolist(), target[target.ne(self._pad)]
            )
        return batch
