"""fairseq-hydra-train cannot build the Transformers that are configured through the command line's options."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from omegaconf import OmegaConf

from ednd_nmt.compat.repair import wrapping


def _model_class() -> Any:
    from fairseq.models.transformer import TransformerModel

    return TransformerModel


def _take_configuration(original: Callable[..., Any], cls: type, args: Any, task: Any) -> Any:
    """``TransformerModel.build_model`` with a namespace, in which defaults can be written."""
    if OmegaConf.is_config(args):
        args = argparse.Namespace(**OmegaConf.to_container(args, resolve=True))
    return original(cls, args, task)


REPAIRS = (
    wrapping(
        _model_class,
        "build_model",
        _take_configuration,
        name="Transformers of a configuration file",
        why="the Transformers that --arch names write defaults into their options while they are built, which the "
        "configuration of fairseq-hydra-train refuses: it takes no new keys.",
    ),
)
