"""Temperature and cross-entropy weight follow the number of updates, through fairseq's own training step."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from random_models import RandomModels

from ednd_nmt.chunked import projected_loss
from ednd_nmt.errors import UserError
from ednd_nmt.objectives.likelihood import likelihood_value_and_gradient
from ednd_nmt.teacher import Teacher


class Sgd:
    """The part of fairseq's optimizer that its training step uses."""

    @staticmethod
    def backward(loss: Any) -> None:
        loss.backward()


SCHEDULES: dict[str, Any] = {
    "temperature": 5.0,
    "temperature_updates": 4,
    "cross_entropy_weight": 0.6,
    "cross_entropy_updates": 2,
}


def make_criterion(models: RandomModels, **options: Any) -> Any:
    from ednd_nmt.criterions.sequence_distribution import (
        SequenceDistributionCriterion,
        SequenceDistributionCriterionConfig,
    )
    from ednd_nmt.settings import DirichletSettings

    task = models.task
    task._teacher = Teacher([models.model(seed) for seed in (1, 2)], torch.device("cpu"))
    task.student = DirichletSettings(1.0)
    config = SequenceDistributionCriterionConfig(sentence_avg=False, **options)
    return SequenceDistributionCriterion(config, task)


@pytest.mark.parametrize(
    ("update", "temperature", "weight"),
    [(0, 5.0, 0.6), (1, 4.0, 0.3), (2, 3.0, 0.0), (4, 1.0, 0.0), (9, 1.0, 0.0)],
)
def test_the_step_is_that_of_its_update(
    random_models: RandomModels, update: int, temperature: float, weight: float
) -> None:
    """Any update may be a process's first one, as after a resumption."""
    criterion = make_criterion(random_models, **SCHEDULES, label_smoothing=0.1)
    model, sample = random_models.model(3, "dirichlet_transformer"), random_models.batch([0, 3, 7])
    for module in model.modules():
        if hasattr(module, "dropout_module"):
            module.dropout_module.p = 0.0
    loss, _, _ = random_models.task.train_step(sample, model, criterion.train(), Sgd, update)
    found = model.decoder.output_projection.weight.grad.clone()

    model.zero_grad()
    model.train()
    selection = sample["target"].ne(criterion.padding_idx)
    expected = projected_loss(
        model(**sample["net_input"], features_only=True)[0][selection],
        model.decoder.output_projection.weight,
        None,
        random_models.task.teacher.decode(sample, selection.flatten().nonzero().squeeze(1)),
        partial(likelihood_value_and_gradient, offset=1.0, temperature=temperature),
        targets=sample["target"][selection],
        cross_entropy_weight=weight,
        label_smoothing=0.1,
        member_temperature=temperature,
    )
    expected.loss.backward()
    torch.testing.assert_close(loss.detach(), expected.loss.detach())
    torch.testing.assert_close(found, model.decoder.output_projection.weight.grad)


def test_validation_is_at_the_end_of_the_schedules(random_models: RandomModels) -> None:
    criterion = make_criterion(random_models, **SCHEDULES)
    assert (criterion.train().temperature, criterion.cross_entropy_weight) == (5.0, 0.6)
    assert (criterion.eval().temperature, criterion.cross_entropy_weight) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"temperature": 0.0}, "above 0"), ({"temperature": 2.0}, "--temperature-updates")],
)
def test_refusals(random_models: RandomModels, options: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_criterion(random_models, **options)
