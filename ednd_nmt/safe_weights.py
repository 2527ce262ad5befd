"""A model that is no pickle: its weights in safetensors, its settings in JSON, and back to a checkpoint of fairseq.

    model.safetensors   the weights; tensors that are shared stand there once
    settings.json       what the model is built with, which names share a tensor, and the checksum of the weights

Any program can read both, and neither can make it run anything. What a training needs to go on (the optimizer's state, the
meters, the place in the data) stays behind.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from ednd_nmt.errors import UserError
from ednd_nmt.files import atomic_writer, checksum, library_faults_named, read_json, whole_file
from ednd_nmt.model_folder import SAFE_WEIGHTS, SETTINGS

FORMAT = "ednd-nmt.settings"
VERSION = 1
_KINDS = {"model": dict, "namespace": bool, "criterion": str, "updates": int, "shared": dict, "sha256": str}


def read_state(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A model for ``fairseq.checkpoint_utils.load_model_ensemble(..., state=...)``, from a checkpoint or from safetensors.

    Raises:
        UserError: the file is missing, damaged or no model.
    """
    if os.fspath(path).endswith(".safetensors"):
        return _read_safetensors(Path(path))
    from fairseq import checkpoint_utils

    state: dict[str, Any] = checkpoint_utils.load_checkpoint_to_cpu(os.fspath(path))
    return state


def write_safetensors(state: dict[str, Any], folder: Path) -> None:
    """Write the model of :func:`read_state` into a folder, the settings last.

    Raises:
        UserError: a setting is no plain value.
        OSError: the folder cannot be written to; the disk is full, or fails.
    """
    from safetensors.torch import save_file

    weights: dict[str, Any] = {}
    shared: dict[str, str] = {}
    seen: dict[Any, str] = {}
    for name, tensor in state["model"].items():
        place = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        if tensor.numel() and place in seen:
            shared[name] = seen[place]
        else:
            seen[place] = name
            weights[name] = tensor.contiguous()
    settings = _settings(state) | {"shared": shared}
    with whole_file(folder / SAFE_WEIGHTS) as partial, library_faults_named(folder / SAFE_WEIGHTS):
        save_file(weights, partial)
    with atomic_writer(folder / SETTINGS) as stream:
        record = {"format": FORMAT, "version": VERSION, **settings, "sha256": checksum(folder / SAFE_WEIGHTS)}
        try:
            json.dump(record, stream, indent=1, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"The settings of the model hold more than plain values ({error}); keep it as a checkpoint."
            ) from error
        stream.write("\n")


def write_checkpoint(state: dict[str, Any], languages: tuple[str, str], path: Path) -> None:
    """Write the model of :func:`read_state` as a checkpoint for ``fairseq-generate --path``; no training can go on with it.

    Args:
        state: the model.
        languages: of source and target.
        path: the checkpoint.
    """
    import torch

    settings = _settings(state)
    model = settings["model"]
    checkpoint = {
        "args": None,
        "cfg": {
            "model": argparse.Namespace(**model) if settings["namespace"] else model,
            "task": {"_name": "translation", "source_lang": languages[0], "target_lang": languages[1]},
            "criterion": {"_name": settings["criterion"]},
        },
        "model": dict(state["model"]),
        "optimizer_history": [
            {"optimizer_name": "none", "lr_scheduler_state": {}, "num_updates": settings["updates"]}
        ],
        "extra_state": {"train_iterator": {"epoch": 1, "iterations_in_epoch": 0}},
        "last_optimizer_state": None,
    }
    with whole_file(path) as partial, open(partial, "wb") as stream:
        torch.save(checkpoint, stream)  # of a path, torch would not say what the disk's fault was


def _settings(state: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a checkpoint beside its weights."""
    from omegaconf import OmegaConf

    from ednd_nmt.checkpoint_fit import configuration

    config = configuration(state)
    namespace = isinstance(config.model, argparse.Namespace)
    return {
        "model": vars(config.model) if namespace else OmegaConf.to_container(config.model, resolve=True),
        "namespace": namespace,
        "criterion": str(getattr(config.criterion, "_name", None) or ""),
        "updates": int(state["optimizer_history"][-1]["num_updates"]),
    }


def _read_safetensors(path: Path) -> dict[str, Any]:
    from omegaconf import OmegaConf
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    settings = read_json(path.with_name(SETTINGS))
    names = {"format", "version", *_KINDS}
    if (
        not isinstance(settings, dict)
        or (settings.get("format"), settings.get("version")) != (FORMAT, VERSION)
        or settings.keys() != names
        or any(type(settings[name]) is not kind for name, kind in _KINDS.items())
    ):
        raise UserError(
            f"{path.with_name(SETTINGS)} does not describe a model of version {VERSION}; make it again with ednd-nmt pack."
        )
    try:
        if checksum(path) != settings["sha256"]:
            raise UserError(
                f"{path} is damaged, or of another model than {SETTINGS} beside it; make both again with ednd-nmt pack."
            )
        weights = load_file(path)
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}; check its path.") from error
    except SafetensorError as error:
        raise UserError(
            f"{path} is no file of safetensors ({error}); make it again with ednd-nmt pack."
        ) from error
    for name, other in settings["shared"].items():
        if other not in weights:
            raise UserError(f"{path} lacks the tensor {other!r}; make it again with ednd-nmt pack.")
        weights[name] = weights[other]
    model = settings["model"]
    return {
        "cfg": argparse.Namespace(
            model=argparse.Namespace(**model) if settings["namespace"] else OmegaConf.create(model),
            criterion=argparse.Namespace(_name=settings["criterion"]),
        ),
        "model": weights,
        "optimizer_history": [{"num_updates": settings["updates"]}],
    }
