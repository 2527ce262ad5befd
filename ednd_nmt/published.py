"""Students trained by the paper's own code (arXiv 2105.06987): stock models whose criterion made them Dirichlet models.

Their checkpoints do not say what the logits mean; the name of the criterion and the task's ``model_offset`` do. Both are in
the checkpoint's configuration, so the settings are put where this package's own students have them as the file is loaded.
"""

from __future__ import annotations

import functools
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from ednd_nmt.settings import DirichletSettings, is_student_architecture

DIRICHLET_CRITERIONS = (
    "sequence_distribution_distillation",
    "dirichlet_proxy_distillation",
    "rkl_dirichlet_proxy_distillation",
)
PUBLISHED_DEFAULT_OFFSET = 0.0


def recognise_student(state: dict[str, Any]) -> dict[str, Any]:
    """Give a published student's configuration the settings of a Dirichlet model; any other state is left as it is."""
    config = state.get("cfg")
    if config is None or DirichletSettings.of_model(config["model"]) is not None:
        return state
    if is_student_architecture(config["model"]):  # of this package, and damaged
        return state
    if getattr(config["criterion"], "_name", None) in DIRICHLET_CRITERIONS:
        offset = getattr(config["task"], "model_offset", None)
        DirichletSettings(PUBLISHED_DEFAULT_OFFSET if offset is None else float(offset)).write_to(
            config["model"]
        )
    return state


def settings_of_checkpoint(state: dict[str, Any]) -> DirichletSettings | None:
    """What the logits of the model in a checkpoint mean, read as it lies there; None if it is no student."""
    config = state.get("cfg")
    if config is None:  # of before fairseq 0.10
        return DirichletSettings.of_model(state.get("args"))
    groups = {
        name: Namespace(**group) if isinstance(group, Mapping) else group for name, group in config.items()
    }
    return DirichletSettings.of_model(recognise_student({"cfg": groups})["cfg"]["model"])


def install() -> None:
    """Have fairseq recognise published students whenever it loads a checkpoint. May be called any number of times."""
    from fairseq import checkpoint_utils

    original = checkpoint_utils.load_checkpoint_to_cpu
    if getattr(original, "recognises_students", False):
        return

    @functools.wraps(original)
    def load_checkpoint_to_cpu(*args: Any, **options: Any) -> dict[str, Any]:
        return recognise_student(original(*args, **options))

    load_checkpoint_to_cpu.recognises_students = True  # type: ignore[attr-defined]
    checkpoint_utils.load_checkpoint_to_cpu = load_checkpoint_to_cpu
