"""Repairs of fairseq at run time: an installed fairseq is never edited, and none is carried along.

fairseq is no longer developed, and its releases crash or give wrong results with a current Python, torch and
numpy. Each repair is a `Repair`: a name, why, whether it is needed here, and how it is applied. No module
here imports fairseq before a repair asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ednd_nmt.compat import (
    batching,
    checkpoints,
    dataclass_defaults,
    distributed,
    diverse_beam,
    empty_shards,
    encoder_layers,
    finished_training,
    hydra_models,
    nan_detector,
    ngram_block,
    read_ahead,
)
from ednd_nmt.compat.repair import Repair, apply_needed

BEFORE_IMPORT: tuple[Repair, ...] = dataclass_defaults.REPAIRS
AFTER_IMPORT: tuple[Repair, ...] = (
    *checkpoints.REPAIRS,
    *batching.REPAIRS,
    *distributed.REPAIRS,
    *encoder_layers.REPAIRS,
    *diverse_beam.REPAIRS,
    *empty_shards.REPAIRS,
    *finished_training.REPAIRS,
    *hydra_models.REPAIRS,
    *nan_detector.REPAIRS,
    *ngram_block.REPAIRS,
    *read_ahead.REPAIRS,
)

__all__ = ["AFTER_IMPORT", "BEFORE_IMPORT", "Repair", "repair_after_import", "repaired_import"]


@contextmanager
def repaired_import() -> Iterator[list[str]]:
    """Within this context ``import fairseq`` works; the names of the repairs applied.

    What is changed outside fairseq for the time of the import is put back at the end.
    """
    try:
        yield apply_needed(BEFORE_IMPORT)
    finally:
        dataclass_defaults.restore()


def repair_after_import() -> list[str]:
    """Apply the repairs that the imported fairseq needs; their names (none at a second call)."""
    return apply_needed(AFTER_IMPORT)
