"""What kind of system a list of loaded models is: one model, an ensemble, or a Dirichlet student."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
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
        combination: ``pe`` or ``ep`` of an ensemble (:class:`~ednd_nmt.predictive.EnsemblePredictive`).
    """

    kind: str
    members: int
    settings: DirichletSettings | None = None
    decoding: str | None = None
    combination: str | None = None

    @classmethod
    def of_models(
        cls,
        models: Sequence[Any],
        requested_offset: float | None = None,
        decoding: str = "mode",
        combination: str = "pe",
    ) -> System:
        """Tell the kind from what the models' checkpoints say of themselves (attribute ``dirichlet``).

        Raises:
            UserError: students are mixed with other models or with each other, ``requested_offset`` contradicts the
                student, or a ``combination`` is asked for where nothing is combined.
        """
        students = [model.dirichlet for model in models if getattr(model, "dirichlet", None) is not None]
        if not students:
            if requested_offset is not None:
                raise UserError(
                    "--model-offset is given, but no checkpoint in --path is a Dirichlet student; leave the flag out."
                )
            if len(models) > 1:
                return cls("ensemble", len(models), combination=combination)
        if combination != "pe":
            raise UserError(
                f"--ensemble-combination {combination} needs several plain models in --path; leave the flag out."
            )
        if not students:
            return cls("single", 1)
        if len(models) > 1:
            raise UserError(
                f"{len(students)} of the {len(models)} checkpoints in --path are Dirichlet students; "
                "give one student, or an ensemble of plain models."
            )
        students[0].check_request(requested_offset)
        return cls("student", 1, students[0], decoding)

    def token_measure_names(self) -> list[str]:
        """Names of the token-level measures that such a system has."""
        return list(self.predictive([torch.zeros(1, 2)] * self.members).token_measures())

    def predictive(self, logits: Sequence[Tensor], prefix_log_likelihood: Tensor | None = None) -> Predictive:
        """The next-token distribution from one logits tensor [rows, K] per model.

        ``prefix_log_likelihood`` [rows, M] is what every member of an ensemble gives to the row's prefix (None: no prefix).
        """
        if self.settings is not None:
            return DirichletPredictive(logits[0], self.settings.offset, self.decoding or "mode")
        if self.kind == "ensemble":
            return EnsemblePredictive(logits, prefix_log_likelihood if self.combination == "ep" else None)
        return CategoricalPredictive(logits[0])
