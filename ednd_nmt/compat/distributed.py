"""Data-parallel training cannot resume: the state that one process sends to the others is refused by them."""

from __future__ import annotations

from typing import Any

import torch

from ednd_nmt.compat.repair import Repair


def _broadcast_object(obj: Any, src_rank: int, group: Any, dist_device: torch.device) -> Any:
    """Send ``obj`` from the process ``src_rank`` to all others of the group; the object."""
    box = [obj]
    torch.distributed.broadcast_object_list(box, src=src_rank, group=group, device=dist_device)
    return box[0]


def _needed() -> bool:
    from fairseq.distributed import utils

    return getattr(utils, "_broadcast_object_slow", _broadcast_object) is not _broadcast_object


def _apply() -> None:
    from fairseq.distributed import utils

    utils._broadcast_object_slow = _broadcast_object


REPAIRS = (
    Repair(
        name="broadcast of objects",
        why="torch >= 2.6 loads weights only, and refuses the omegaconf objects in the checkpoint state "
        "that fairseq sends through torch.save and torch.load when it resumes; the bytes are the job's "
        "own, so torch's broadcast of whole objects takes their place.",
        needed=_needed,
        apply=_apply,
    ),
)
