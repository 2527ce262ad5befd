"""fairseq criterions of this package; importing it registers them."""

from ednd_nmt.criterions.dirichlet_proxy import DirichletProxyCriterion
from ednd_nmt.criterions.forward_kl_mean import ForwardKLMeanCriterion
from ednd_nmt.criterions.rkl_dirichlet_proxy import ReverseKLDirichletProxyCriterion
from ednd_nmt.criterions.sequence_distribution import SequenceDistributionCriterion

__all__ = [
    "DirichletProxyCriterion",
    "ForwardKLMeanCriterion",
    "ReverseKLDirichletProxyCriterion",
    "SequenceDistributionCriterion",
]
