"""Checkpoints load as data: an allow-list of the harmless types that they hold, and nothing in them runs.

A checkpoint is a pickle, and a pickle can call anything. torch >= 2.6 reads weights only, unless told
otherwise, and so refuses the settings and the meters in fairseq's checkpoints as well; those few types are
allowed here, no others.
"""

from __future__ import annotations

import argparse
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ednd_nmt.compat.repair import Repair, wrapping
from ednd_nmt.errors import UserError
from ednd_nmt.files import disk_faults_named

TRUST_VARIABLE = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
"""Environment variable of torch that accepts the risk of running whatever a checkpoint asks for (value 1)."""

_MULTIARRAY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")  # the names in numpy 1 and numpy 2
_PLAIN_DTYPES = "?bBhHiIlLqQefdFDSU"
_OLD_METERS = ("AverageMeter", "TimeMeter", "StopwatchMeter")


def safe_globals() -> list[Any]:
    """The types and functions that a checkpoint may name, for `torch.serialization.add_safe_globals`.

    Settings are in an `argparse.Namespace`; averages and losses are numpy values (`bytes` in an empty array).
    """
    scalar, reconstruct = np.float64(0).__reduce__()[0], np.zeros(0).__reduce__()[0]
    multiarray = [
        (function, f"{module}.{name}")
        for module in _MULTIARRAY_MODULES
        for function, name in ((scalar, "scalar"), (reconstruct, "_reconstruct"))
    ]
    dtypes = {type(np.dtype(code)): None for code in _PLAIN_DTYPES}
    return [argparse.Namespace, bytes, np.ndarray, np.dtype, *dtypes, *multiarray]


def _missing_globals() -> list[Any]:
    registered = torch.serialization.get_safe_globals()
    return [entry for entry in safe_globals() if entry not in registered]


def _register_safe_globals() -> None:
    torch.serialization.add_safe_globals(_missing_globals())


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The dictionary in a checkpoint of fairseq, on the CPU, as it was saved; fairseq need not be installed.

    Raises:
        UserError: the file cannot be read, is damaged, asks for more than the allow-list, or holds no model.
    """
    if _missing_globals():
        _register_safe_globals()
    state = _load(path)
    if not isinstance(state, dict) or "model" not in state:
        raise UserError(
            f"{path} holds no model of fairseq; give a checkpoint (.pt) that fairseq-train saved."
        )
    return state


def _load(path: str | os.PathLike[str]) -> Any:
    try:
        check_undamaged(path)
        return torch.load(path, map_location="cpu")
    except OSError as error:
        raise UserError(f"Cannot read the checkpoint {path}: {error.strerror}; check its path.") from error
    except (MemoryError, UserError):
        raise
    except Exception as error:  # whatever torch's reader runs into in a damaged file
        raise _as_user_error(path, error) from error


def check_undamaged(path: str | os.PathLike[str]) -> None:
    """Compare what is in a checkpoint with the checksums that torch wrote beside it and does not look at itself.

    The old file format has none, and is only read.

    Raises:
        UserError: they differ: weights would be wrong, silently.
        OSError: the file cannot be read.
    """
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except OSError:
        raise
    except Exception:  # whatever Python's reader runs into
        damaged = "its table of contents"
    if damaged is not None:
        raise _damaged(path, damaged)


def _damaged(path: str | os.PathLike[str], where: str | None = None) -> UserError:
    what = f"{path} is damaged" + (f" ({where})" if where else " or no checkpoint at all")
    return UserError(f"{what}; copy it again or train it again.")


def _as_user_error(path: str | os.PathLike[str], error: Exception) -> UserError:
    wanted = _refused_globals(path, error)
    if wanted:
        return UserError(
            f"The checkpoint {path} was refused and nothing in it was run: it asks for {', '.join(wanted)}, "
            "which weights and settings do not need; if you trust whoever made it with this account, set "
            f"{TRUST_VARIABLE}=1 and try again."
        )
    return _damaged(path)


def _refused_globals(path: str | os.PathLike[str], error: Exception) -> list[str]:
    """What the checkpoint names that is not allowed; in torch's old file format only the first of it."""
    if not isinstance(error, pickle.UnpicklingError):
        return []
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(os.fspath(path)))
    except Exception:  # the old format, or a pickle that only its reading shows to be damaged
        named = re.search(r"GLOBAL (?!instruction)([\w.]+)", str(error))
        return [named[1]] if named else []


def _explain_refusal(original: Callable[..., Any], path: str, *args: Any, **options: Any) -> Any:
    """``checkpoint_utils.load_checkpoint_to_cpu``, with one sentence about a file that is at fault."""
    if os.path.isfile(path):
        check_undamaged(path)
    try:
        return original(path, *args, **options)
    except Exception:
        if os.path.isfile(path):
            _load(path)
        raise


def _explain_misfit(original: Callable[..., Any], filenames: list[str], *args: Any, **options: Any) -> Any:
    """``checkpoint_utils.load_model_ensemble_and_task``, with one sentence in place of torch's line for each tensor."""
    try:
        return original(filenames, *args, **options)
    except RuntimeError as error:
        sizes = re.search(r"size mismatch for (\S+): .*?(\[[^]]*\]).*?(\[[^]]*\])", str(error), re.DOTALL)
        if sizes is None:
            raise
        raise UserError(
            f"{':'.join(filenames)}: a checkpoint does not fit the dictionaries of the data or its own settings "
            f"({sizes[1]} is {sizes[2]} in it, and should be {sizes[3]}); "
            "use the data that the model was trained with, and members with the same dictionaries."
        ) from error


def _ask_the_task(
    original: Callable[..., Any],
    filenames: list[str],
    arg_overrides: dict[str, Any] | None = None,
    task: Any = None,
    strict: bool = True,
    suffix: str = "",
    num_shards: int = 1,
    state: dict[str, Any] | None = None,
) -> Any:
    """``checkpoint_utils.load_model_ensemble_and_task``, one checkpoint after the other, each shown to the task."""
    if not hasattr(task, "check_checkpoint") or num_shards > 1:
        return original(filenames, arg_overrides, task, strict, suffix, num_shards, state)
    models, config = [], None
    for filename in filenames:
        path = _checkpoint_utils().get_maybe_sharded_checkpoint_filename(filename, suffix, 0, 1)
        loaded = state
        if loaded is None and os.path.isfile(path):  # else fairseq says that there is none
            loaded = _checkpoint_utils().load_checkpoint_to_cpu(path, arg_overrides)
        if loaded is not None:
            task.check_checkpoint(path, loaded)
        found, config, task = original([filename], arg_overrides, task, strict, suffix, 1, loaded)
        models += found
    return models, config, task


def _ask_before_going_on(
    original: Callable[..., Any], trainer: Any, filename: str, *args: Any, **options: Any
) -> Any:
    """``Trainer.load_checkpoint``, whose task is shown the checkpoint first."""
    if hasattr(trainer.task, "check_start") and os.path.isfile(filename):
        try:
            state = torch.load(
                filename, map_location="cpu", mmap=zipfile.is_zipfile(filename)
            )  # settings alone are read
        except Exception:  # which the original explains
            state = None
        if isinstance(state, dict) and "model" in state:
            trainer.task.check_start(filename, state)
        del state
    return original(trainer, filename, *args, **options)


def _name_full_disk(original: Callable[..., Any], obj: Any, f: Any) -> Any:
    """``checkpoint_utils._torch_persistent_save``, into an open file once only."""
    if isinstance(f, str):  # it is opened, and comes back
        return original(obj, f)
    with disk_faults_named(getattr(f, "name", "the checkpoint")):
        torch.save(obj, f)


def _copy_whole(original: Callable[..., Any], src_path: str, dst_path: str, overwrite: bool = False) -> Any:
    """``PathManager.copy``, to another name first."""
    if not _path_manager().supports_rename(dst_path):
        return original(src_path, dst_path, overwrite)
    copied = original(src_path, dst_path + ".tmp", True)
    os.replace(dst_path + ".tmp", dst_path)
    return copied


def _trainer() -> Any:
    from fairseq.trainer import Trainer

    return Trainer


def _checkpoint_utils() -> Any:
    from fairseq import checkpoint_utils

    return checkpoint_utils


def _path_manager() -> Any:
    from fairseq.file_io import PathManager

    return PathManager


def _missing_meters() -> list[Any]:
    from fairseq.logging import meters

    registered = torch.serialization.get_safe_globals()
    old_names = [(getattr(meters, name), f"fairseq.meters.{name}") for name in _OLD_METERS]
    return [entry for entry in old_names if entry not in registered]


REPAIRS = (
    Repair(
        name="types in checkpoints",
        why="torch >= 2.6 loads weights only and refuses the argparse.Namespace and the numpy values in the "
        "checkpoints of fairseq, old and new: resuming, translating and validating fail.",
        needed=lambda: bool(_missing_globals()),
        apply=_register_safe_globals,
    ),
    Repair(
        name="meters in old checkpoints",
        why="fairseq before 0.9 saved its meters themselves, objects that hold a few numbers; torch >= 2.6 "
        "refuses them.",
        needed=lambda: bool(_missing_meters()),
        apply=lambda: torch.serialization.add_safe_globals(_missing_meters()),
    ),
    wrapping(
        _checkpoint_utils,
        "load_checkpoint_to_cpu",
        _explain_refusal,
        name="refused checkpoints",
        why="A checkpoint that asks for code to be run ends in a traceback of torch's, and one with damaged weights is "
        "loaded as if nothing were wrong; one sentence says what it asked for, or what is damaged.",
    ),
    wrapping(
        _checkpoint_utils,
        "load_model_ensemble_and_task",
        _explain_misfit,
        name="checkpoints of other dictionaries",
        why="A model whose embeddings have another size than the dictionaries ends in a traceback of torch's; one sentence "
        "says what does not fit.",
    ),
    wrapping(
        _checkpoint_utils,
        "load_model_ensemble_and_task",
        _ask_the_task,
        name="checkpoints that a task would refuse",
        why="A task is shown the settings of a model, but neither the name nor the data of its checkpoint, by which it "
        "could tell that it has other dictionaries than its own; a task with a method check_checkpoint is asked.",
    ),
    wrapping(
        _trainer,
        "load_checkpoint",
        _ask_before_going_on,
        name="checkpoints that a training would refuse",
        why="A training goes on from the weights of any checkpoint that fits, whatever its settings say that they mean; a "
        "task with a method check_start is asked.",
    ),
    wrapping(
        _checkpoint_utils,
        "_torch_persistent_save",
        _name_full_disk,
        name="checkpoints on a full disk",
        why="A checkpoint that finds no room is written twice more behind its own first half, and ends in tracebacks of "
        "torch's that do not say what the disk said; what is left says it, and names the file.",
    ),
    wrapping(
        _path_manager,
        "copy",
        _copy_whole,
        name="copies of checkpoints",
        why="A new checkpoint is written whole and then copied over checkpoint_last.pt and checkpoint_best.pt: a training "
        "that is killed meanwhile leaves half a file there, and can go on no more.",
    ),
)
