"""The encoder layers of fairseq 0.12.2, and moving checkpoints between them and those of newer sources.

0.12.2 keeps a second copy of each encoder layer's weights for torch's fused layer, as parameters, in its
checkpoints too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ednd_nmt.compat.repair import Repair, wrapping

FUSED_COPIES = (
    "in_proj_weight",
    "in_proj_bias",
    "out_proj_weight",
    "out_proj_bias",
    "fc1_weight",
    "fc1_bias",
    "fc2_weight",
    "fc2_bias",
)


def _layer_class() -> Any:
    from fairseq.modules.transformer_layer import TransformerEncoderLayerBase

    return TransformerEncoderLayerBase


def _keeps_copies() -> bool:
    """Whether the installed encoder layer is the one of 0.12.2, which makes its copies anew as it loads."""
    return "_load_from_state_dict" in vars(_layer_class())


def _switch_fused_layer_off() -> None:
    # A property without effect: the constructor's own value is ignored, in derived classes as well.
    _layer_class().can_use_fastpath = property(lambda layer: False, lambda layer, value: None)


def _drop_copies(original: Callable[..., Any], layer: Any, state_dict: dict[str, Any], name: str) -> Any:
    """``upgrade_state_dict_named`` of a layer, without the copies that it has no parameters for."""
    for copy in FUSED_COPIES:
        if not hasattr(layer, copy):
            state_dict.pop(f"{name}.{copy}", None)
    return original(layer, state_dict, name)


REPAIRS = (
    Repair(
        name="fused encoder layer",
        why="fairseq 0.12.2 calls torch's fused encoder layer without the mask type that torch >= 1.13 asks "
        "for: generation fails with 'Mask Type should be defined'. The plain layers give the same "
        "result.",
        needed=lambda: _keeps_copies() and not hasattr(_layer_class(), "can_use_fastpath"),
        apply=_switch_fused_layer_off,
    ),
    wrapping(
        _layer_class,
        "upgrade_state_dict_named",
        _drop_copies,
        name="checkpoints of fairseq 0.12.2",
        why="Newer sources have no parameters for the copies in a checkpoint of 0.12.2 and refuse to load "
        "it. The other way round needs nothing: 0.12.2 makes the copies from the layer's own weights.",
        needed=lambda: not _keeps_copies(),
    ),
)
