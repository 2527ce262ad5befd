"""The search for a NaN breaks before it finds one."""

from __future__ import annotations

from typing import Any

import torch

from ednd_nmt.compat.repair import Repair


class _Nested(torch.nn.Module):
    """Returns what the encoder of a Transformer does, in small."""

    def forward(self, values: torch.Tensor) -> dict[str, list[torch.Tensor]]:
        return {"encoder_out": [values]}


def _breaks() -> bool:
    from fairseq.nan_detector import NanDetector

    module = _Nested()
    try:
        with NanDetector(module):
            module(torch.zeros(2))
    except StopIteration:
        return True
    return False


def _add_forward_hook(self: Any, module: torch.nn.Module) -> None:
    if self.forward:
        self.fhooks.append(module.register_forward_hook(self.fhook_fn))


def _apply() -> None:
    from fairseq.nan_detector import NanDetector

    NanDetector.add_hooks = _add_forward_hook


def is_searching(module: torch.nn.Module) -> bool:
    """Whether fairseq repeats a batch whose gradient was not finite: its detector has hooked itself onto modules then."""
    from fairseq.nan_detector import NanDetector

    return any(
        isinstance(getattr(hook, "__self__", None), NanDetector) for hook in module._forward_hooks.values()
    )


REPAIRS = (
    Repair(
        name="NaN detector",
        why="fairseq repeats a batch whose gradient is not finite with hooks on every module; torch's hooks "
        "for the backward pass find no tensor in what a Transformer's encoder returns, and end in "
        "StopIteration. Those for the forward pass stay; the gradients are listed at the end anyway.",
        needed=_breaks,
        apply=_apply,
    ),
)
