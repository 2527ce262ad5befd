"""What kind of system a list of loaded models is: one model, an ensemble, or a Dirichlet student."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ednd_nmt.errors import UserError
from ednd_nmt.predictive import CategoricalPredictive, DirichletPredictive, EnsemblePredictive, Predictive
from ednd_nmt.settings import DirichletSettings


@dataclass(frozen=True)
class System:
    """A kind of system and how it answers for the next token.

    Attributes:
        kind: ``single``, ``ensemble`` or ``student``, as in the header of an uncertainty file.
        members: number of models.
        settings: a student's concentrations.
        decoding: ``mode`` or ``mean`` of a student's Dirichlet.
    """

    kind: str
    members: int
    settings: DirichletSettings | None = None
    decoding: str | None = None

    @classmethod
    def of_models(
        cls, models: Sequence[Any], requested_offset: float | None = None, decoding: str = "mode"
    ) -> System:
        """Tell the kind from what the models' checkpoints say of themselves (attribute ``dirichlet``).

        Raises:
            UserError: students are mixed with other models or with each other, or ``requested_offset`` contradicts the
                student.
        """
        students = [model.dirichlet for model in models if getattr(model, "dirichlet", None) is not None]
        if not students:
            if requested_offset is not None:
                raise UserError(
                    "--model-offset is given, but no checkpoint in --path is a Dirichlet student; leave the flag out."
                )
            return cls("single" if len(models) == 1 else "ensemble", len(models))
        if len(models) > 1:
            raise UserError(
                f"{len(students)} of the {len(models)} checkpoints in --path are Dirichlet students; "
                "give one student, or an ensemble of plain models."
            )
        students[0].check_request(requested_offset)
        return cls("student", 1, students[0], decoding)

    def predictive(self, logits: Sequence[Tensor]) -> Predictive:
        """The next-token distribution from one logits tensor [rows, K] per model."""
        if self.settings is not None:
            return DirichletPredictive(logits[0], self.settings.offset, self.decoding or "mode")
        if self.kind == "ensemble":
            return EnsemblePredictive(logits)
        return CategoricalPredictive(logits[0])
