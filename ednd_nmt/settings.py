"""What makes a checkpoint a Dirichlet student: the map from its logits to concentrations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ednd_nmt.errors import UserError

PARAMETRIZATIONS = ("exp",)


@dataclass(frozen=True)
class DirichletSettings:
    """The concentrations of a student: ``alpha = exp(z) + offset`` for logits ``z`` (arXiv 2105.06987, section 4).

    They belong to the model and travel in its configuration, hence in its checkpoint, under the names
    ``dirichlet_offset`` and ``dirichlet_parametrization``; nobody repeats them at generation time.

    Raises:
        UserError: a negative or non-finite offset, or an unknown parametrization.
    """

    offset: float = 1.0
    parametrization: str = "exp"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.offset) and self.offset >= 0):
            raise UserError(
                f"The offset of the concentrations is {self.offset}; give a finite number that is at least 0 "
                "(the paper uses 1)."
            )
        if self.parametrization not in PARAMETRIZATIONS:
            raise UserError(
                f"Unknown parametrization {self.parametrization!r} of the concentrations; known: "
                f"{', '.join(PARAMETRIZATIONS)}."
            )

    @classmethod
    def of_model(cls, model_config: Any) -> DirichletSettings | None:
        """The settings that a model's configuration (namespace or omegaconf node) holds; None if it is no student."""
        offset = getattr(model_config, "dirichlet_offset", None)
        if offset is None:
            return None
        return cls(float(offset), getattr(model_config, "dirichlet_parametrization", None) or "exp")

    def write_to(self, model_config: Any) -> None:
        """Put the settings into a model's configuration, so that its checkpoint will hold them."""
        values = {"dirichlet_offset": self.offset, "dirichlet_parametrization": self.parametrization}
        if hasattr(model_config, "_metadata"):  # an omegaconf node refuses unknown keys unless told otherwise
            from omegaconf import open_dict

            with open_dict(model_config):
                model_config.update(values)
        else:
            for name, value in values.items():
                setattr(model_config, name, value)

    def check_request(self, requested_offset: float | None) -> None:
        """Refuse a ``--model-offset`` that contradicts the model.

        Raises:
            UserError: ``requested_offset`` is given and differs from the model's own.
        """
        if requested_offset is not None and requested_offset != self.offset:
            raise UserError(
                f"--model-offset {requested_offset:g} contradicts the model, whose concentrations are "
                f"exp(z) + {self.offset:g}; leave the flag out, the model knows its offset."
            )


def is_student_architecture(model_config: Any) -> bool:
    """Whether a model's configuration names an architecture of this package, which always has its settings."""
    names = (getattr(model_config, "_name", None), getattr(model_config, "arch", None))
    return any(str(name).startswith("dirichlet_") for name in names)
