"""A vocabulary of one token: nothing to be unsure of, and nothing that is not finite."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ednd_nmt.ensemble import ensemble_statistics
from ednd_nmt.objectives.forward_kl import forward_kl_loss
from ednd_nmt.objectives.likelihood import dirichlet_likelihood_loss
from ednd_nmt.objectives.mean_kl import mean_kl_loss
from ednd_nmt.objectives.reverse_kl import reverse_kl_loss
from ednd_nmt.predictive import (
    CategoricalPredictive,
    DirichletMixturePredictive,
    DirichletPredictive,
    EnsemblePredictive,
    Predictive,
)
from ednd_nmt.proxy import proxy_target

LOGITS = torch.tensor([[-20.0], [0.0], [5.0]])


@pytest.mark.parametrize("members", [[LOGITS], [LOGITS, LOGITS.flip(0)]], ids=["one member", "two members"])
@pytest.mark.parametrize(
    "loss_function", [mean_kl_loss, dirichlet_likelihood_loss, forward_kl_loss, reverse_kl_loss]
)
def test_no_objective_has_anything_to_learn(
    loss_function: Callable[..., Tensor], members: list[Tensor]
) -> None:
    """A Dirichlet over one class is the point 1, whatever its concentration: all divergences are 0."""
    statistics = ensemble_statistics(members)
    leaf = LOGITS.clone().requires_grad_()
    loss = loss_function(leaf, statistics)
    loss.sum().backward()
    assert leaf.grad is not None
    torch.testing.assert_close(loss.detach(), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(leaf.grad, torch.zeros(3, 1), rtol=0, atol=1e-5)


@pytest.mark.parametrize("concentration", ["mkl", "epkl", "mle"])
def test_the_precision_of_the_target_is_finite(concentration: str) -> None:
    target = proxy_target(ensemble_statistics([LOGITS, LOGITS.flip(0)]), concentration)  # type: ignore[arg-type]
    assert torch.isfinite(target.concentrations()).all()


@pytest.mark.parametrize(
    "predictive",
    [
        CategoricalPredictive(LOGITS),
        EnsemblePredictive([LOGITS, LOGITS.flip(0)]),
        DirichletPredictive(LOGITS, 1.0),
        DirichletPredictive(LOGITS, 1.0, "mean"),
        DirichletMixturePredictive([LOGITS, LOGITS.flip(0)], 1.0),
    ],
    ids=["single", "ensemble", "student", "mean of a student", "students"],
)
def test_every_measure_is_0(predictive: Predictive) -> None:
    assert torch.equal(predictive.search_log_probabilities(), torch.zeros(3, 1))
    measures = predictive.token_measures()
    assert "TU" in measures
    for name, values in measures.items():
        if name != "precision":
            torch.testing.assert_close(values.double(), torch.zeros(3).double(), rtol=0, atol=1e-6)
        else:
            assert torch.isfinite(values).all()
