"""Members, and students of every objective and start, for numbers of one length: what is trained, chosen and measured."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import ednd_nmt
from ednd_nmt import EnsembleStatistics
from examples.classifier.data import SHIFTS, Digits, draw_numbers, shifted_digits
from examples.classifier.evaluation import (
    System,
    dirichlet_student,
    ensemble,
    evidence,
    figures,
    single_model,
)
from examples.classifier.training import (
    ANNEALED,
    CATEGORICAL,
    LEARNING_RATES,
    MEMBER_LEARNING_RATE,
    OBJECTIVES,
    Objective,
    annealed_likelihood_loss,
    member_loss,
    new_network,
    student_loss,
    train,
)

STARTS = ("random", "member")
"""A student's first weights: random ones, or those of a member."""


@dataclass(frozen=True)
class Trained:
    """A student that ``seed`` and ``learning_rate`` have given, and its mean NLL on the validation numbers."""

    network: nn.Module
    seed: int
    learning_rate: float
    validation_nll: float
    validation_accuracy: float


class Experiment:
    """All systems for numbers of ``length`` digits."""

    def __init__(self, length: int, parts: dict[str, Digits], options: argparse.Namespace) -> None:
        def generator(number: int) -> torch.Generator:
            return torch.Generator().manual_seed(1000 * options.seed + number)

        self.length, self.options = length, options
        self.labelled = draw_numbers(parts["labelled"], length, options.numbers, generator(1))
        self.transfer, _ = draw_numbers(parts["unlabelled"], length, options.numbers, generator(2))
        self.validation = draw_numbers(parts["validation"], length, options.test_numbers, generator(3))
        self.test = draw_numbers(parts["test"], length, options.test_numbers, generator(4))
        self.shifted = {}
        for shift in SHIFTS:
            digits = shifted_digits(parts["test"], shift, generator(5))
            self.shifted[shift], _ = draw_numbers(digits, length, options.test_numbers, generator(4))

    def run(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Records with their kind: ``runs``, ``choices`` or ``gradients``."""
        loss = member_loss(*self.labelled)
        self.members = []
        for seed in range(self.options.members):
            network = new_network(self.length, seed)
            self.members.append(train(network, loss, self.options.member_updates, MEMBER_LEARNING_RATE, seed))
            yield (
                "runs",
                self._record("single model", None, seed, MEMBER_LEARNING_RATE, single_model(network)),
            )
        yield "runs", self._record("ensemble", None, None, None, ensemble(self.members))

        with torch.no_grad():
            self.target = ednd_nmt.ensemble_statistics(member(self.transfer) for member in self.members)
        for name in OBJECTIVES:
            for start in STARTS[:1] if name == ANNEALED else STARTS:  # annealing is for random weights
                if name != ANNEALED:  # whose gradient is of another size at every temperature
                    yield "gradients", self._gradient(name, start)
                yield from self._students(name, start)

    def _students(self, name: str, start: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every learning rate with the first seed; the best on the validation numbers with the other seeds."""
        candidates = [self._train(name, start, 0, rate) for rate in LEARNING_RATES]
        best = min(candidates, key=lambda candidate: candidate.validation_nll)
        for candidate in candidates:
            yield (
                "choices",
                {
                    "classes": 10**self.length,
                    "system": name,
                    "start": start,
                    "learning_rate": candidate.learning_rate,
                    "validation NLL": candidate.validation_nll,
                    "validation accuracy": candidate.validation_accuracy,
                    "chosen": candidate is best,
                },
            )
        others = range(1, self.options.student_seeds)
        students = [best, *(self._train(name, start, seed, best.learning_rate) for seed in others)]
        for student in students:
            system = _system(name, student.network)
            record = self._record(name, start, student.seed, student.learning_rate, system)
            if name not in CATEGORICAL:
                record["evidence"] = evidence(student.network, self.test[0])
            yield "runs", record

    def _start(self, start: str, seed: int) -> nn.Module:
        if start == "member":
            return copy.deepcopy(self.members[seed % len(self.members)])
        return new_network(self.length, len(self.members) + seed)

    def _train(self, name: str, start: str, seed: int, learning_rate: float) -> Trained:
        if name == ANNEALED:
            loss = annealed_likelihood_loss(self.members, self.transfer, self.options.updates)
        else:
            loss = student_loss(OBJECTIVES[name], self.transfer, self.target)
        network = self._start(start, seed)
        train(network, loss, self.options.updates, learning_rate, len(self.members) + seed)
        found = figures(_system(name, network), *self.validation, shifted={})
        return Trained(network, seed, learning_rate, found["NLL"], found["accuracy"])

    def _gradient(self, name: str, start: str) -> dict[str, Any]:
        examples = slice(self.options.test_numbers)
        target = self.target.map(lambda values: values[examples])
        with torch.no_grad():
            logits = self._start(start, 0)(self.transfer[examples])
        return {
            "classes": 10**self.length,
            "system": name,
            "start": start,
            **first_gradient(OBJECTIVES[name], logits, target),
        }

    def _record(
        self, system: str, start: str | None, seed: int | None, learning_rate: float | None, predict: System
    ) -> dict[str, Any]:
        return {
            "classes": 10**self.length,
            "system": system,
            "start": start,
            "seed": seed,
            "learning_rate": learning_rate,
            **figures(predict, *self.test, self.shifted),
        }


def _system(name: str, network: nn.Module) -> System:
    kind: Callable[[nn.Module], System] = single_model if name in CATEGORICAL else dirichlet_student
    return kind(network)


def first_gradient(objective: Objective, logits: Tensor, target: EnsembleStatistics) -> dict[str, float]:
    """How the gradient with respect to the logits [n, K] is before the first update, averaged over the n numbers.

    Returns:
        Its Euclidean norm; the share of its L1 norm that falls on the class that the members find most probable,
        and the share that falls on the classes whose logits a step of descent lowers, in percent.
    """
    logits = logits.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(objective(logits, target).sum(), logits)
    size = gradient.abs()
    total = size.sum(-1, keepdim=True).clamp(min=torch.finfo(size.dtype).tiny)
    top = size.gather(-1, target.mean.argmax(-1, keepdim=True))
    lowered = gradient.clamp(min=0).sum(-1, keepdim=True)
    return {
        "norm": float(gradient.norm(dim=-1).mean()),
        "top class": 100 * float((top / total).mean()),
        "lowered": 100 * float((lowered / total).mean()),
    }
