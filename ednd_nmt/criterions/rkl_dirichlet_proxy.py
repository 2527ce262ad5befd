"""``rkl_dirichlet_proxy_distillation``: reverse KL divergence to the proxy Dirichlet, the paper's objective."""

from dataclasses import dataclass, field
from functools import partial
from typing import cast

from fairseq.criterions import register_criterion

from ednd_nmt.criterions.base import PRIOR_WEIGHTS, DistillationCriterion, ProxyCriterionConfig
from ednd_nmt.objectives.core import Objective
from ednd_nmt.objectives.reverse_kl import PriorWeight, reverse_kl_value_and_gradient


@dataclass
class ReverseKLCriterionConfig(ProxyCriterionConfig):
    """Options of the reverse KL divergence."""

    prior_weight: PRIOR_WEIGHTS = field(  # type: ignore[valid-type]
        default="paper",
        metadata={
            "help": "weight of the flat prior: 1/beta0 (paper) or 1/(beta0 + K), as the paper's code has it (released)"
        },
    )


@register_criterion("rkl_dirichlet_proxy_distillation", dataclass=ReverseKLCriterionConfig)
class ReverseKLDirichletProxyCriterion(DistillationCriterion):
    """``KL(Dir(alpha) || Dir(beta)) / beta0`` up to a constant, per token (arXiv 2105.06987)."""

    def objective(self) -> Objective:
        """See :func:`ednd_nmt.objectives.reverse_kl.reverse_kl_loss`."""
        return partial(
            reverse_kl_value_and_gradient,
            offset=self.offset,
            concentration=self.concentration,
            prior_weight=cast(PriorWeight, str(self.cfg.prior_weight)),
            target_offset=self.cfg.target_offset,
        )
