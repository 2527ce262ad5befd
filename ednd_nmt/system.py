"""What kind of system a list of loaded models is: one model, an ensemble, a Dirichlet student, or several of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ednd_nmt.errors import UserError
from ednd_nmt.predictive import (
    CategoricalPredictive,
    DirichletMixturePredictive,
    DirichletPredictive,
    EnsemblePredictive,
    Predictive,
)
from ednd_nmt.records import Header
from ednd_nmt.search_options import scoring_settings, search_settings
from ednd_nmt.search_record import SearchRecord
from ednd_nmt.settings import DirichletSettings


@dataclass(frozen=True)
class System:
    """A kind of system and how it answers for the next token.

    Attributes:
        kind: ``single``, ``ensemble`` or ``student``, as in the header of an uncertainty file; several students are a
            ``student`` of several members.
        members: number of models.
        settings: a student's concentrations, as the measures see them.
        decoding: ``mode`` or ``mean`` of a student's Dirichlet.
        combination: ``pe`` or ``ep`` of an ensemble (:class:`~ednd_nmt.predictive.EnsemblePredictive`) or of several
            students (:class:`~ednd_nmt.predictive.DirichletMixturePredictive`).
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
        uncertainty_offset: float | None = None,
    ) -> System:
        """Tell the kind from what the models' checkpoints say of themselves (attribute ``dirichlet``).

        ``uncertainty_offset`` takes the place of the students' own offset, in measures and in a search with the mean. With
        0, ``Dir(exp(z))``, the mean is softmax(z), which estimates the ensemble's mean; with the offset that the student was
        trained with, it has a tail of K times that beside it.

        Raises:
            UserError: a model has an adaptive softmax; students are mixed with other models, or have different offsets;
                ``requested_offset`` contradicts the students; the mean of a Dirichlet or an ``uncertainty_offset`` is asked
                for where there is no student, or a ``combination`` where nothing is combined; a negative offset.
        """
        refuse_adaptive_softmax(models)
        if combination != "pe" and len(models) == 1:
            raise UserError(
                f"--ensemble-combination {combination} needs several models to combine; leave the flag out."
            )
        combined = combination if len(models) > 1 else None
        students = [model.dirichlet for model in models if getattr(model, "dirichlet", None) is not None]
        if not students:
            if requested_offset is not None:
                raise UserError(
                    "--model-offset is given, but no checkpoint is a Dirichlet student; leave the flag out."
                )
            if decoding != "mode":
                raise UserError(
                    f"Only a Dirichlet student can be decoded with its {decoding}, and no checkpoint is one; "
                    "leave that option out."
                )
            if uncertainty_offset is not None:
                raise UserError(
                    "Only a Dirichlet student has concentrations with an offset, and no checkpoint is one; leave out "
                    "--uncertainty-offset."
                )
            return cls("ensemble" if combined else "single", len(models), combination=combined)
        if len(students) < len(models):
            raise UserError(
                f"{len(students)} of the {len(models)} checkpoints are Dirichlet students; "
                "give students only, or plain models only."
            )
        if len(set(students)) > 1:
            offsets = ", ".join(f"{student.offset:g}" for student in students)
            raise UserError(
                f"The students have different offsets ({offsets}); they combine only if all have the same."
            )
        students[0].check_request(requested_offset)
        settings = students[0]
        if uncertainty_offset is not None:
            settings = replace(settings, offset=uncertainty_offset)
        return cls("student", len(models), settings, decoding, combined)

    def header(
        self, search: Any, *, scored: bool, penalty: float, penalty_measure: str, seed: int, **others: Any
    ) -> Header:
        """The header of the records that this system makes.

        Args:
            search: fairseq's generation options, or something with their names.
            scored: whether given translations are scored, so that nothing is searched for; of the options those are named
                that scoring depends on.
            penalty: of the uncertainty inside the beam, on ``penalty_measure``.
            seed: of what is drawn at random.
            others: the remaining fields of :class:`~ednd_nmt.records.Header`.
        """
        settings = (
            scoring_settings(search, seed=seed)
            if scored
            else search_settings(search, penalty=penalty, penalty_measure=penalty_measure, seed=seed)
        )
        return Header(
            system=self.kind,
            members=self.members,
            beam=None if scored else search.beam,
            nbest=1 if scored else search.nbest,
            combination=self.combination,
            offset=None if self.settings is None else self.settings.offset,
            decoding=self.decoding,
            search=settings,
            **others,
        )

    def token_measure_names(self) -> list[str]:
        """Names of the token-level measures that such a system has."""
        return list(self.predictive([torch.zeros(1, 2)] * self.members, SearchRecord()).token_measures())

    def predictive(self, logits: Sequence[Tensor], record: SearchRecord) -> Predictive:
        """The next-token distribution from one logits tensor [rows, K] per model and the record of the rows' prefixes.

        The record is asked only by the expectation of products, for what every member gives to the prefixes.
        """
        prefix = record.prefix_log_likelihood() if self.combination == "ep" else None
        if self.settings is None:
            return (
                CategoricalPredictive(logits[0]) if self.members == 1 else EnsemblePredictive(logits, prefix)
            )
        offset, decoding = self.settings.offset, self.decoding or "mode"
        if self.members == 1:
            return DirichletPredictive(logits[0], offset, decoding)
        return DirichletMixturePredictive(logits, offset, decoding, prefix)


def refuse_adaptive_softmax(models: Sequence[Any], path: str | None = None) -> None:
    """Refuse models without logits: what fairseq calls their output are the features of the last hidden layer.

    Raises:
        UserError: one of them was trained with ``--adaptive-softmax-cutoff``; ``path`` is where it comes from.
    """
    for model in models:
        if getattr(getattr(model, "decoder", None), "adaptive_softmax", None) is not None:
            raise UserError(
                f"{path or 'A model'} has an adaptive softmax and so no logits of the whole vocabulary; "
                "use models trained without --adaptive-softmax-cutoff."
            )
