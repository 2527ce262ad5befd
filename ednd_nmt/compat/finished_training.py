"""A finished training that is started again makes another update."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ednd_nmt.compat.repair import wrapping

logger = logging.getLogger(__name__)

NO_EPOCHS = -1
"""A value of --max-epoch with which fairseq trains nothing; 0 is no limit to it."""


def _checkpoint_utils() -> Any:
    from fairseq import checkpoint_utils

    return checkpoint_utils


def _stop_where_it_ended(original: Callable[..., Any], cfg: Any, trainer: Any, **options: Any) -> Any:
    """``checkpoint_utils.load_checkpoint``, after which fairseq-train enters the loop over the epochs."""
    loaded = original(cfg, trainer, **options)
    optimization = trainer.cfg.optimization
    if 0 < optimization.max_update <= trainer.get_num_updates():
        logger.info(
            "the training has ended: num_updates: %d >= max_update: %d",
            trainer.get_num_updates(),
            optimization.max_update,
        )
        optimization.max_epoch = NO_EPOCHS
    return loaded


REPAIRS = (
    wrapping(
        _checkpoint_utils,
        "load_checkpoint",
        _stop_where_it_ended,
        name="finished training",
        why="fairseq compares the number of updates with --max-update only after an update: a training that was killed "
        "after its last checkpoint, or is just started once more, makes one more each time, and ends with another model.",
    ),
)
