"""Data-parallel training: it cannot resume, its default backend needs GPUs, and so does its start by Slurm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ednd_nmt.compat.repair import Repair, wrapping


def _broadcast_object(obj: Any, src_rank: int, group: Any, dist_device: torch.device) -> Any:
    """Send ``obj`` from the process ``src_rank`` to all others of the group; the object."""
    box = [obj]
    torch.distributed.broadcast_object_list(box, src=src_rank, group=group, device=dist_device)
    return box[0]


def _cannot_broadcast() -> bool:
    return getattr(_utils(), "_broadcast_object_slow", _broadcast_object) is not _broadcast_object


def _repair_broadcast() -> None:
    _utils()._broadcast_object_slow = _broadcast_object


def _first_device_without_gpus(original: Callable[..., Any], cfg: Any, *arguments: Any) -> Any:
    """``_infer_slurm_init``, which takes a task's number on its node for a GPU's."""
    inferred = original(cfg, *arguments)
    if not torch.cuda.is_available():
        cfg.device_id = 0
    return inferred


def _no_device_without_gpus(original: Callable[..., Any], module: torch.nn.Module, **options: Any) -> Any:
    """torch's ``DistributedDataParallel``, told a device by fairseq wherever the module is."""
    if all(parameter.device.type == "cpu" for parameter in module.parameters()):
        options.update(device_ids=None, output_device=None)
    return original(module=module, **options)


def _models() -> Any:
    from fairseq.models import distributed_fairseq_model

    return distributed_fairseq_model


def _utils() -> Any:
    from fairseq.distributed import utils

    return utils


REPAIRS = (
    wrapping(
        _models,
        "DistributedDataParallel",
        _no_device_without_gpus,
        name="data-parallel training without GPUs",
        why="fairseq tells torch a GPU for every model, which torch refuses for one on a CPU: --ddp-backend pytorch_ddp, "
        "the default, ends in a traceback there.",
    ),
    Repair(
        name="broadcast of objects",
        why="torch >= 2.6 loads weights only, and refuses the omegaconf objects in the checkpoint state "
        "that fairseq sends through torch.save and torch.load when it resumes; the bytes are the job's "
        "own, so torch's broadcast of whole objects takes their place.",
        needed=_cannot_broadcast,
        apply=_repair_broadcast,
    ),
    wrapping(
        _utils,
        "_infer_slurm_init",
        _first_device_without_gpus,
        name="Slurm without GPUs",
        why="fairseq gives the second task of a node the second GPU, and fails where there is none, on a node for "
        "CPUs.",
    ),
)
