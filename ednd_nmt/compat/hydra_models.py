"""fairseq-hydra-train cannot build the Transformers that are configured through the command line's options."""

from __future__ import annotations

import argparse
from typing import Any

from omegaconf import OmegaConf

from ednd_nmt.compat.repair import Repair

_REPAIRED = "takes_configurations"


def _needed() -> bool:
    from fairseq.models.transformer import TransformerModel

    return not hasattr(TransformerModel.build_model, _REPAIRED)


def _apply() -> None:
    from fairseq.models.transformer import TransformerModel

    original = TransformerModel.build_model.__func__

    def build_model(cls: type, args: Any, task: Any) -> Any:
        if OmegaConf.is_config(args):
            args = argparse.Namespace(**OmegaConf.to_container(args, resolve=True))
        return original(cls, args, task)

    build_model.__doc__ = original.__doc__
    setattr(build_model, _REPAIRED, True)
    TransformerModel.build_model = classmethod(build_model)


REPAIRS = (
    Repair(
        name="Transformers of a configuration file",
        why="the Transformers that --arch names write defaults into their options while they are built, which the "
        "configuration of fairseq-hydra-train refuses: it takes no new keys.",
        needed=_needed,
        apply=_apply,
    ),
)
