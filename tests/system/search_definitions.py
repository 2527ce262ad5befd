"""A search over random models, and what it records by a teacher-forced pass over its hypotheses and the definitions."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import torch
from random_models import RandomModels
from torch import Tensor

IDS = [0, 3, 7, 20, 50, 101]


def teacher_forced_logits(model: Any, sample: dict[str, Any], row: int, tokens: Tensor) -> Tensor:
    """Logits [tokens, K] of one hypothesis, decoded alone, without padding, beams or incremental state."""
    length = sample["net_input"]["src_lengths"][row]
    source = sample["net_input"]["src_tokens"][row : row + 1, -length:]  # sources are padded on the left
    previous = torch.cat([tokens[-1:], tokens[:-1]]).unsqueeze(0)
    return model(source, length.view(1), previous)[0][0].double()


def dirichlet_columns(logits: Tensor, tokens: Tensor, offset: float) -> dict[str, Tensor]:
    """The measures of a Dirichlet from their textbook definitions."""
    alpha = logits.exp() + offset
    alpha0 = alpha.sum(-1, keepdim=True)
    p = alpha / alpha0
    chosen, precision = alpha.gather(-1, tokens[:, None])[:, 0], alpha0[:, 0]
    total = -(p * p.log()).sum(-1)
    data = -(p * (torch.digamma(alpha + 1) - torch.digamma(alpha0 + 1))).sum(-1)
    epkl = (alpha.shape[-1] - 1) / precision
    log_probability = (chosen / precision).log()
    return {
        "TU": total,
        "DU": data,
        "MI": total - data,
        "EPKL": epkl,
        "MKL": epkl - (total - data),
        "precision": precision,
        "log_probability": log_probability,
        "sMKL": log_probability - torch.digamma(chosen) + torch.digamma(precision),
        "logvar": torch.polygamma(1, chosen) - torch.polygamma(1, precision),
    }


def member_weights(log_probability: Tensor, combination: str) -> Tensor:
    """Weights [M, tokens, 1] of members that give the tokens these log-probabilities [M, tokens]: alike, or by prefixes."""
    prefix = log_probability.cumsum(-1) - log_probability
    return (prefix if combination == "ep" else torch.zeros_like(prefix)).softmax(0)[..., None]


def ensemble_columns(members: list[Tensor], tokens: Tensor, combination: str) -> dict[str, Tensor]:
    """The measures of an ensemble from their definitions, all members stacked."""
    log_p = torch.stack([torch.log_softmax(logits, -1) for logits in members])  # [M, tokens, K]
    member = log_p.gather(-1, tokens.expand(len(log_p), -1)[..., None])[..., 0]  # [M, tokens]
    weights = member_weights(member, combination)
    mean, log_mean = (weights * log_p.exp()).sum(0), (weights * log_p).sum(0)
    total = -(mean * mean.log()).sum(-1)
    data = -(weights * log_p.exp() * log_p).sum(-1).sum(0)
    mkl = (mean * (mean.log() - log_mean)).sum(-1)
    chosen = mean.gather(-1, tokens[:, None])[:, 0].log()
    return {
        "TU": total,
        "DU": data,
        "MI": total - data,
        "EPKL": total - data + mkl,
        "MKL": mkl,
        "log_probability": chosen,
        "sMKL": chosen - member.mean(0),
        "member_log_probability": member.T,
    }


def mixture_columns(
    members: list[Tensor], tokens: Tensor, offset: float, combination: str
) -> dict[str, Tensor]:
    """The measures of several students from the definitions of expectations over their mixture, all stacked."""
    alpha = torch.stack(members).exp() + offset  # [M, tokens, K]
    alpha0 = alpha.sum(-1, keepdim=True)
    p, expected_log = alpha / alpha0, torch.digamma(alpha) - torch.digamma(alpha0)

    def chosen(values: Tensor) -> Tensor:
        return values.gather(-1, tokens.expand(len(values), -1)[..., None])[..., 0]  # [M, tokens]

    member, expected = chosen(p).log(), chosen(expected_log)
    weights = member_weights(member, combination)
    mean = (weights * p).sum(0)
    total = -(mean * mean.log()).sum(-1)
    entropies = -(p * (torch.digamma(alpha + 1) - torch.digamma(alpha0 + 1))).sum(-1)
    data = (weights[..., 0] * entropies).sum(0)
    mkl = (mean * (mean.log() - (weights * expected_log).sum(0))).sum(-1)
    log_probability = mean.gather(-1, tokens[:, None])[:, 0].log()
    return {
        "TU": total,
        "DU": data,
        "MI": total - data,
        "EPKL": total - data + mkl,
        "MKL": mkl,
        "log_probability": log_probability,
        "sMKL": log_probability - expected.mean(0),
        "logvar": chosen(torch.polygamma(1, alpha) - torch.polygamma(1, alpha0)).mean(0),
        "member_log_probability": member.T,
        "member_expected_log_probability": expected.T,
    }


SYSTEMS = {
    "ensemble-pe": ("transformer", "pe"),
    "ensemble-ep": ("transformer", "ep"),
    "student": ("dirichlet_transformer", "pe"),
    "students-ep": ("dirichlet_transformer", "ep"),
}


def system_of(models: RandomModels, kind: str) -> list[Any]:
    arch, models.task.cfg.ensemble_combination = SYSTEMS[kind]
    return [models.model(seed, arch) for seed in ((1,) if kind == "student" else (1, 2))]


def search(
    models: RandomModels,
    systems: list[Any],
    ids: list[int],
    prefix: Tensor | None = None,
    forced: Tensor | None = None,
    **options: Any,
) -> Any:
    options = {"beam": 5, "nbest": 5, **options}
    generator, _ = models.task.build_recording_generator(systems, Namespace(**options))
    sample = models.batch(ids)
    return sample, models.task.inference_step(
        generator, systems, sample, prefix_tokens=prefix, constraints=forced
    )


def check(
    systems: list[Any], sample: dict[str, Any], found: list[list[dict[str, Any]]], combination: str = "pe"
) -> None:
    seen = 0
    for row, hypotheses in enumerate(found):
        for hypothesis in hypotheses:
            tokens = hypothesis["tokens"]
            ends = (tokens == systems[0].decoder.dictionary.eos()).nonzero()[:, 0]
            assert ends.tolist() == [len(tokens) - 1]  # once, and last
            logits = [teacher_forced_logits(model, sample, row, tokens) for model in systems]
            settings = systems[0].dirichlet
            if settings is None:
                expected = ensemble_columns(logits, tokens, combination)
                if len(systems) == 1:
                    expected = {name: expected[name] for name in ("TU", "log_probability")}
            elif len(systems) == 1:
                expected = dirichlet_columns(logits[0], tokens, settings.offset)
            else:
                expected = mixture_columns(logits, tokens, settings.offset, combination)
            assert hypothesis["uncertainty"].keys() == expected.keys()
            for name, values in expected.items():
                recorded = hypothesis["uncertainty"][name].double()
                assert torch.allclose(recorded, values, rtol=1e-5, atol=1e-6), (name, recorded, values)
            seen += 1
    assert seen >= len(found)
