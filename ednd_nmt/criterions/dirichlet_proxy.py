"""``dirichlet_proxy_distillation``: forward KL divergence from the proxy Dirichlet."""

from functools import partial

from fairseq.criterions import register_criterion

from ednd_nmt.criterions.base import DistillationCriterion, ProxyCriterionConfig
from ednd_nmt.objectives.core import Objective
from ednd_nmt.objectives.forward_kl import forward_kl_value_and_gradient


@register_criterion("dirichlet_proxy_distillation", dataclass=ProxyCriterionConfig)
class DirichletProxyCriterion(DistillationCriterion):
    """``KL(Dir(beta) || Dir(alpha))`` per token (arXiv 2105.06987)."""

    def objective(self) -> Objective:
        """See :func:`ednd_nmt.objectives.forward_kl.forward_kl_loss`."""
        return partial(
            forward_kl_value_and_gradient,
            offset=self.offset,
            concentration=self.concentration,
            target_offset=self.cfg.target_offset,
        )
