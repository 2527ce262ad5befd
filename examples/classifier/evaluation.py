"""The figures of a classifier, an ensemble or a student: quality, calibration, error and out-of-domain detection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import ednd_nmt
from ednd_nmt.evaluation.calibration import expected_calibration_error
from ednd_nmt.evaluation.detection import roc_auc
from ednd_nmt.evaluation.rejection import prediction_rejection_ratio


@dataclass(frozen=True)
class Prediction:
    """What a system says of n images: log-probabilities [n, K], and its uncertainties by name, [n] each, in nats."""

    log_probability: Tensor
    uncertainties: Mapping[str, Tensor]


System = Callable[[Tensor], Prediction]


def single_model(network: nn.Module) -> System:
    """A categorical classifier: its one measure is the entropy."""

    def predict(pixels: Tensor) -> Prediction:
        log_probability = network(pixels).log_softmax(-1)
        return Prediction(log_probability, {"TU": -(log_probability.exp() * log_probability).sum(-1)})

    return predict


def ensemble(members: Sequence[nn.Module]) -> System:
    """The members' mean distribution, and their disagreement."""

    def predict(pixels: Tensor) -> Prediction:
        found = ednd_nmt.ensemble_statistics(member(pixels) for member in members)
        uncertainties = {"TU": found.entropy_of_mean, "MI": found.mutual_information, "MKL": found.mkl}
        smallest = torch.finfo(found.mean.dtype).tiny  # of a class that no member has any probability for
        return Prediction(found.mean.clamp(min=smallest).log(), uncertainties)

    return predict


def dirichlet_student(network: nn.Module) -> System:
    """Predictions from the mode of the Dirichlet, softmax(logits), uncertainties from the whole Dirichlet."""

    def predict(pixels: Tensor) -> Prediction:
        logits = network(pixels)
        found = ednd_nmt.dirichlet_uncertainty(logits)
        uncertainties = {"TU": found.total, "MI": found.mutual_information, "MKL": found.mkl}
        return Prediction(logits.log_softmax(-1), uncertainties)

    return predict


@torch.no_grad()
def evidence(network: nn.Module, pixels: Tensor) -> float:
    """The median over images [n, inputs] of sum_k exp(z_k) = alpha0 - K; near 0 the student says Dir(1) of everything."""
    return float(network(pixels).double().exp().sum(-1).median())


@torch.no_grad()
def figures(
    system: System, pixels: Tensor, values: Tensor, shifted: Mapping[str, Tensor]
) -> dict[str, float]:
    """Accuracy, NLL (nats), ECE, PRR and ROC-AUC; all but the NLL in percent.

    A system that is always right or always wrong has no PRR: there is nothing to tell apart.

    Args:
        pixels: test images [n, inputs] with their classes ``values`` [n].
        shifted: images that the system should be less sure of, by the name of what was done to them.
    """
    prediction = system(pixels)
    confidence, predicted = prediction.log_probability.max(-1)
    correct = (predicted == values).double()
    result = {
        "accuracy": 100 * float(correct.mean()),
        "NLL": -float(prediction.log_probability.gather(-1, values.unsqueeze(-1)).mean()),
        "ECE": 100 * expected_calibration_error(confidence.exp().clamp(max=1), correct),
    }
    if 0 < correct.sum() < len(correct):
        for name, uncertainty in prediction.uncertainties.items():
            result[f"PRR by {name}"] = prediction_rejection_ratio(1 - correct, uncertainty)
    for shift, images in shifted.items():
        for name, uncertainty in system(images).uncertainties.items():
            result[f"ROC-AUC {shift} by {name}"] = roc_auc(prediction.uncertainties[name], uncertainty)
    return result
