"""``sequence_distribution_distillation``: ensemble distribution distillation by likelihood (EnDD)."""

from functools import partial

from fairseq.criterions import register_criterion

from ednd_nmt.criterions.base import DistillationCriterion, DistillationCriterionConfig
from ednd_nmt.objectives.core import Objective
from ednd_nmt.objectives.likelihood import likelihood_value_and_gradient


@register_criterion("sequence_distribution_distillation", dataclass=DistillationCriterionConfig)
class SequenceDistributionCriterion(DistillationCriterion):
    """Negative log-likelihood of the members under the student's Dirichlet (arXiv 1905.00076).

    The baseline that drowns in the tail of a large vocabulary. ``--target-concentration`` has no effect.
    """

    def objective(self) -> Objective:
        """See :func:`ednd_nmt.objectives.likelihood.dirichlet_likelihood_loss`."""
        return partial(likelihood_value_and_gradient, offset=self.offset)
