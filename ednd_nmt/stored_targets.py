"""The ensemble's opinion of every target token, computed once and kept in a file: the members then cost nothing in training.

Of each token's mean distribution the ``top_k`` most probable classes are kept, and of all others together what is left of
the mass; when it is read, this is divided among them as among the classes that were not kept on average over all tokens.
That suits the objectives that weigh classes by pbar; it suits the likelihood (``sequence_distribution_distillation``) badly,
whose gradient lies in the tail. The container is HDF5, readable by anything; its layout is described at
:class:`StoredTargets`, :mod:`ednd_nmt.stored_targets_writer` writes it. Nothing here imports fairseq.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ednd_nmt.ensemble import EnsembleStatistics
from ednd_nmt.errors import UserError

if TYPE_CHECKING:  # only those who use such a file wait for the import, and see what it logs
    import h5py

FORMAT = "ednd_nmt stored targets"
VERSION = 1
TAIL = "tail"
"""Name of the group that holds the shape of the tail; no data set of fairseq's is called so."""

STORED_TARGETS = "stored_targets"
"""Under this name they stand in a batch."""

Rows = dict[str, Tensor]
"""Columns of some tokens: see :func:`row_type` for their names."""


def row_type(top_k: int, classes: int) -> np.dtype[np.void]:
    """What is stored of one token.

    ==========================  ===========================================================================================
    ``token``                   the target token itself, so that a file is never used with other data
    ``classes``                 the ``top_k`` most probable classes of pbar, the most probable first
    ``log_probability``         ln pbar_k of these classes, float16: pbar_k is right to 0.4 % down to ln pbar_k = -16, to
                                0.8 % down to -32, 1.6 % to -64 and 3.2 % below
    ``mean_log_probability``    (1/M) sum_m ln p_m,k of these classes, float16
    ``rest``                    sum of pbar_k over all other classes
    ``rest_log_probability``    the mean of (1/M) sum_m ln p_m,k over all other classes
    ``mkl``                     of the ensemble, exact; likewise ``mutual_information`` and ``entropy_of_mean``
    ==========================  ===========================================================================================
    """
    number = np.uint16 if classes <= np.iinfo(np.uint16).max else np.int32
    return np.dtype(
        [
            ("token", np.int32),
            ("classes", number, (top_k,)),
            ("log_probability", np.float16, (top_k,)),
            ("mean_log_probability", np.float16, (top_k,)),
            ("rest", np.float32),
            ("rest_log_probability", np.float32),
            ("mkl", np.float32),
            ("mutual_information", np.float32),
            ("entropy_of_mean", np.float32),
        ]
    )


def compress(statistics: EnsembleStatistics, tokens: Tensor, top_k: int) -> Rows:
    """What is kept of the ensemble's statistics, [tokens] and [tokens, top_k].

    Args:
        statistics: of these tokens, [tokens, K].
        tokens: the target tokens, int64 [tokens].
        top_k: from 1 to K.
    """
    mean, log_mean = statistics.mean, statistics.log_mean
    top, classes = mean.topk(top_k, dim=-1)
    others = mean.shape[-1] - top_k
    top_log_mean = log_mean.gather(-1, classes)
    tiny = torch.finfo(torch.float32).tiny
    return {
        "token": tokens,
        "classes": classes,
        "log_probability": top.clamp_min(tiny).log(),
        "mean_log_probability": top_log_mean,
        # In float64: what is left of almost 1 is a small difference.
        "rest": (1 - top.double().sum(-1)).clamp_min(0),
        "rest_log_probability": (log_mean.double().sum(-1) - top_log_mean.double().sum(-1)) / max(1, others),
        "mkl": statistics.mkl,
        "mutual_information": statistics.mutual_information,
        "entropy_of_mean": statistics.entropy_of_mean,
    }


@dataclass(frozen=True)
class TailShape:
    """How the classes that are not kept share what is left, the same for all tokens.

    Attributes:
        probability: [K], in proportion to which they share the rest of pbar; all greater than 0.
        log_probability: [K], how far (1/M) sum_m ln p_m,k lies above or below its mean over a token's classes that are not
            kept.
    """

    probability: Tensor
    log_probability: Tensor

    @classmethod
    def uniform(cls, classes: int) -> TailShape:
        """All alike."""
        return cls(torch.ones(classes), torch.zeros(classes))

    def to(self, device: torch.device) -> TailShape:
        """The same on another device."""
        return TailShape(self.probability.to(device), self.log_probability.to(device))


class TailAverage:
    """The shape of the tail of all tokens seen so far.

    Args:
        classes: K.

    Attributes:
        sums: of probabilities, deviations and tokens, float64 [3, K]; all that there is to keep of it.
    """

    def __init__(self, classes: int) -> None:
        self.sums = torch.zeros(3, classes, dtype=torch.float64)

    def add(self, statistics: EnsembleStatistics, rows: Rows) -> None:
        """Take more tokens into account; ``rows`` is what :func:`compress` kept of them."""
        kept = rows["classes"]
        mass = statistics.mean.scatter(-1, kept, 0.0)
        centre = rows["rest_log_probability"].to(statistics.log_mean.dtype).unsqueeze(-1)
        deviation = (statistics.log_mean - centre).scatter_(-1, kept, 0.0)
        count = torch.ones_like(mass).scatter_(-1, kept, 0.0)
        for total, values in zip(self.sums, (mass, deviation, count), strict=True):
            total += values.sum(0, dtype=torch.float64).cpu()

    def shape(self) -> TailShape:
        """The average; a class that was always kept has a share that is small, and not 0."""
        mass, deviation, count = self.sums
        floor = 1e-6 * mass.mean()
        probability = mass + (floor if floor > 0 else 1.0)
        return TailShape(probability.float(), (deviation / count.clamp_min(1)).float())


def expand(rows: Rows, tail: TailShape) -> EnsembleStatistics:
    """The ensemble's statistics as far as they were kept, [tokens, K] in float32.

    ``mean`` sums to 1; ``mkl``, ``epkl``, ``mutual_information`` and the entropies are those of the ensemble itself, not of
    the approximated mean, and so is the precision that ``mkl`` and ``epkl`` give.
    """
    numbers = rows["classes"].long()
    others = max(1, len(tail.probability) - numbers.shape[-1])
    top = rows["log_probability"].float().exp()
    rest = rows["rest"].float().unsqueeze(-1)
    # float16 has moved the kept probabilities a little: all are scaled so that the sum is 1 again.
    scale = (top.sum(-1, keepdim=True, dtype=torch.float64) + rest).reciprocal().float()
    share = tail.probability.expand(len(numbers), -1).scatter(-1, numbers, 0.0)
    unit = (
        rest
        * scale
        / share.sum(-1, keepdim=True, dtype=torch.float64).float().clamp_min(torch.finfo(torch.float32).tiny)
    )
    mean = share.mul_(unit).scatter_(-1, numbers, top * scale)

    deviation = tail.log_probability.expand(len(numbers), -1).scatter(-1, numbers, 0.0)
    centre = rows["rest_log_probability"].float().unsqueeze(-1)
    log_mean = deviation.add_(centre - deviation.sum(-1, keepdim=True) / others)
    log_mean.scatter_(-1, numbers, rows["mean_log_probability"].float())
    mkl, mutual_information, entropy = (
        rows[name].float() for name in ("mkl", "mutual_information", "entropy_of_mean")
    )
    return EnsembleStatistics(
        mean=mean,
        log_mean=log_mean,
        mkl=mkl,
        epkl=mkl + mutual_information,
        mutual_information=mutual_information,
        expected_entropy=entropy - mutual_information,
        entropy_of_mean=entropy,
    )


class StoredTargets:
    """A file of stored targets, open for reading.

    Its attributes: ``format``, ``version``, ``software``, ``classes`` (K), ``top_k``, ``members`` (SHA-256 of each
    checkpoint). A group for each data set (``train``, ``valid``) with ``offsets`` (int64 [sentences + 1]: sentence i has the
    rows from ``offsets[i]`` to ``offsets[i + 1]``) and ``rows`` (see :func:`row_type`). The group ``tail`` holds the two
    columns of :class:`TailShape`. Rows that lie in one piece, as they are written, are mapped into memory: all processes
    that read them share it. Compressed ones are read as well (``h5repack -f SHUF -f GZIP=1`` makes a quarter less of them).

    Raises:
        UserError: it is missing, damaged, of another format, or of a later version.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        import h5py

        self.path = str(path)
        if not os.path.isfile(path):
            raise UserError(f"There is no file of stored targets at {path}; make it with `ednd-nmt store`.")
        try:
            self._file = h5py.File(path, "r")
        except OSError as error:
            raise UserError(
                f"{path} is no file of stored targets, or is damaged; make it again with `ednd-nmt store`."
            ) from error
        attributes: Mapping[str, Any] = self._file.attrs
        if attributes.get("format") != FORMAT:
            raise UserError(
                f"{path} is an HDF5 file, but none of stored targets; make one with `ednd-nmt store`."
            )
        if attributes["version"] != VERSION:
            raise UserError(
                f"{path} has version {attributes['version']} of the format, this software reads version {VERSION}; "
                "make the file again with `ednd-nmt store`."
            )
        self.classes = int(attributes["classes"])
        self.top_k = int(attributes["top_k"])
        self.members = [str(member) for member in attributes["members"]]
        self._offsets = {name: group["offsets"][:] for name, group in self._file.items() if name != TAIL}
        self._rows = {name: _mapped(self._file[name]["rows"]) for name in self._offsets}
        shape = self._file[TAIL]
        self.tail = TailShape(
            torch.from_numpy(shape["probability"][:]), torch.from_numpy(shape["log_probability"][:])
        )

    def __enter__(self) -> StoredTargets:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def subsets(self) -> list[str]:
        """Names of the data sets."""
        return list(self._offsets)

    def sentences(self, subset: str) -> int:
        """Number of sentences of a data set."""
        return len(self._offsets[subset]) - 1

    def lengths(self, subset: str) -> NDArray[np.integer[Any]]:
        """Of its sentences in target tokens, EOS included, int64 [sentences]."""
        return np.diff(self._offsets[subset])

    def other_data(self, subset: str) -> UserError:
        """What is raised when the sentences of a data set are not those that its rows were made from."""
        return UserError(
            f"The stored targets in {self.path} were made from other data than the set {subset} of this training; "
            "make them again with `ednd-nmt store`."
        )

    def read(self, subset: str, sentences: Sequence[int], tokens: Tensor) -> Rows:
        """The rows of some sentences, one after the other.

        Args:
            sentences: their numbers in the data set.
            tokens: their target tokens, int64 [rows], which are compared with those that the file was made from.

        Raises:
            UserError: the file was made from other data.
        """
        offsets, stored = self._offsets[subset], self._rows[subset]
        array = np.concatenate([stored[offsets[number] : offsets[number + 1]] for number in sentences])
        if not np.array_equal(array["token"], tokens.cpu().numpy()):
            raise self.other_data(subset)
        # float64 for the single columns: fairseq halves every float32 of a batch under --fp16, which they would not survive.
        return {
            name: torch.from_numpy(_for_torch(np.ascontiguousarray(array[name])))
            for name in array.dtype.names or ()
        }


def _mapped(rows: h5py.Dataset) -> h5py.Dataset | NDArray[np.void]:
    """The rows as they lie in the file, or where they do not lie in one piece, those that h5py reads."""
    offset = rows.id.get_offset()
    if offset is None:
        return rows
    return np.memmap(rows.file.filename, dtype=rows.dtype, mode="r", offset=offset, shape=rows.shape)


def _for_torch(column: NDArray[Any]) -> NDArray[Any]:
    wider = {"uint16": np.int32, "float32": np.float64}.get(column.dtype.name)
    return column if wider is None else column.astype(wider)
