"""``sequence_distribution_distillation``: ensemble distribution distillation by likelihood (EnDD)."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fairseq.criterions import register_criterion

from ednd_nmt.criterions.base import DistillationCriterion, DistillationCriterionConfig
from ednd_nmt.errors import UserError, require_positive
from ednd_nmt.objectives.core import Objective
from ednd_nmt.objectives.likelihood import likelihood_value_and_gradient


@dataclass
class SequenceDistributionCriterionConfig(DistillationCriterionConfig):
    """Options of the likelihood."""

    temperature: float = field(
        default=1.0,
        metadata={
            "help": "divides the logits of members and student at first; falls to 1 over --temperature-updates"
        },
    )
    temperature_updates: int = field(
        default=0, metadata={"help": "number of updates over which the temperature falls linearly to 1"}
    )


@register_criterion("sequence_distribution_distillation", dataclass=SequenceDistributionCriterionConfig)
class SequenceDistributionCriterion(DistillationCriterion):
    """Negative log-likelihood of the members under the student's Dirichlet (arXiv 1905.00076).

    The baseline that drowns in the tail of a large vocabulary. ``--target-concentration`` has no effect.
    Validation is at temperature 1, the student's own.

    Raises:
        UserError: a temperature that is not positive, or that would stay: the finished student has none. Stored targets,
            which lack the tail that the likelihood's gradient lies in.
    """

    def __init__(self, cfg: SequenceDistributionCriterionConfig, task: Any) -> None:
        require_positive(**{"--temperature": cfg.temperature})
        if cfg.temperature != 1 and cfg.temperature_updates <= 0:
            raise UserError("--temperature must fall to 1 during training; give --temperature-updates.")
        if getattr(task.cfg, "stored_targets", None) is not None:
            raise UserError(
                "sequence_distribution_distillation needs the members' whole distributions, and --stored-targets has their "
                "most probable classes only; give --ensemble-paths."
            )
        super().__init__(cfg, task)

    @property
    def temperature(self) -> float:
        """By which the logits of members and student are divided at this update."""
        return self.annealed(self.cfg.temperature, 1.0, self.cfg.temperature_updates)

    def objective(self) -> Objective:
        """See :func:`ednd_nmt.objectives.likelihood.dirichlet_likelihood_loss`."""
        return partial(likelihood_value_and_gradient, offset=self.offset, temperature=self.temperature)
