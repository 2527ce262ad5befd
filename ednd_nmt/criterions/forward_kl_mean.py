"""``forward_kl_mean_distillation``: ensemble distillation (EnD), a plain student of the ensemble's mean."""

from typing import Any

from fairseq.criterions import register_criterion

from ednd_nmt.criterions.base import DistillationCriterion, DistillationCriterionConfig
from ednd_nmt.objectives.core import Objective
from ednd_nmt.objectives.mean_kl import mean_kl_value_and_gradient


@register_criterion("forward_kl_mean_distillation", dataclass=DistillationCriterionConfig)
class ForwardKLMeanCriterion(DistillationCriterion):
    """``KL(pbar || softmax z)`` per token. The student keeps the ensemble's quality but not its knowledge uncertainty.

    ``--target-concentration`` is accepted, as in the published commands, and has no effect.
    """

    trains_dirichlet = False

    def objective(self) -> Objective:
        """See :func:`ednd_nmt.objectives.mean_kl.mean_kl_loss`."""
        objective: Any = mean_kl_value_and_gradient
        return objective
