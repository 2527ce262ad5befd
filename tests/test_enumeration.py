"""Ensembles of toy models whose every sequence can be listed: posteriors sum to 1, measures equal their definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from ednd_nmt.measures import hypothesis_measures
from ednd_nmt.predictive import EnsemblePredictive
from ednd_nmt.search_record import SearchRecord

EOS, VOCABULARY, LENGTH, MEMBERS = 0, 4, 3, 3
SEQUENCES = [
    (*words, EOS)
    for length in range(LENGTH)
    for words in itertools.product(range(1, VOCABULARY), repeat=length)
]


def logits_after(prefix: tuple[int, ...]) -> list[Tensor]:
    """Every member's logits [K] after a prefix, random but fixed; at the last place only EOS is left."""
    seed = sum((token + 1) * 10**place for place, token in enumerate(prefix))
    logits = 2 * torch.randn(MEMBERS, VOCABULARY, generator=torch.Generator().manual_seed(seed))
    if len(prefix) == LENGTH - 1:
        logits[:, 1:] = -1e4
    return list(logits.double())


def member_probability(member: int, sequence: tuple[int, ...]) -> float:
    """``P_m(y)``, from the definition."""
    factors = [
        logits_after(sequence[:place])[member].softmax(-1)[token].item()
        for place, token in enumerate(sequence)
    ]
    return float(np.prod(factors))


def walked(combination: str) -> dict[tuple[int, ...], dict[str, Tensor]]:
    """The columns of every sequence, as a search that prunes nothing records them."""
    record, ended = SearchRecord(), []
    prefixes: list[tuple[int, ...]] = [()]
    for place in range(LENGTH):
        record.extend(torch.tensor([prefix[-1] if prefix else EOS for prefix in prefixes]))
        logits = [torch.stack(rows) for rows in zip(*map(logits_after, prefixes), strict=True)]
        record.follow(
            EnsemblePredictive(logits, record.prefix_log_likelihood() if combination == "ep" else None)
        )
        record.end(torch.arange(len(prefixes)), EOS)
        ended += [(*prefix, EOS) for prefix in prefixes]
        if place < LENGTH - 1:
            record.reorder(torch.arange(len(prefixes)).repeat_interleave(VOCABULARY - 1))
            prefixes = [(*prefix, word) for prefix in prefixes for word in range(1, VOCABULARY)]
    return dict(zip(ended, record.hypotheses(), strict=True))


@pytest.fixture(scope="module")
def members() -> np.ndarray:
    """``P_m(y)`` [M, sequences]."""
    return np.array([[member_probability(m, sequence) for sequence in SEQUENCES] for m in range(MEMBERS)])


def entropy(p: np.ndarray) -> np.ndarray:
    return -(p * np.log(p)).sum(axis=-1)


def expected_entropy(p: np.ndarray, members: np.ndarray, combination: str) -> float:
    """``sum over prefixes of P(prefix) sum_m w_m H[p_m(. | prefix)]``, from lists of all sequences and no logarithm kept.

    The weights are the members' probabilities of the prefix for the expectation of products, and alike otherwise.
    """
    total = 0.0
    for prefix in {sequence[:place] for sequence in SEQUENCES for place in range(len(sequence))}:
        inside = [sequence[: len(prefix)] == prefix for sequence in SEQUENCES]
        weights = members[:, inside].sum(axis=1) if combination == "ep" else np.ones(MEMBERS)
        entropies = [float(torch.special.entr(z.softmax(-1)).sum()) for z in logits_after(prefix)]
        total += p[inside].sum() * float(np.dot(weights / weights.sum(), entropies))
    return total


@pytest.mark.parametrize("combination", ["pe", "ep"])
def test_all_sequences(members: np.ndarray, combination: str) -> None:
    found = walked(combination)
    assert found.keys() == set(SEQUENCES)
    p = np.exp([found[sequence]["log_probability"].double().sum().item() for sequence in SEQUENCES])
    assert p.sum() == pytest.approx(1.0, abs=1e-6)
    if combination == "ep":
        np.testing.assert_allclose(p, members.mean(axis=0), rtol=1e-5)

    def expected(column: str) -> float:
        """The measure of the whole sequence: its sum over the tokens, on average over all sequences."""
        return sum(q * found[s][column].double().sum().item() for q, s in zip(p, SEQUENCES, strict=True))

    reverse_information = (p * (np.log(p) - np.log(members))).sum(axis=1).mean()
    assert expected("TU") == pytest.approx(entropy(p), abs=1e-5)
    assert expected("sMKL") == pytest.approx(reverse_information, abs=1e-5)
    assert expected("MI") == pytest.approx(expected("TU") - expected("DU"), abs=1e-5)
    assert expected("DU") == pytest.approx(expected_entropy(p, members, combination), abs=1e-5)
    if combination == "ep":  # the members' own entropies: only here do the weights make the chain rule hold
        assert expected("DU") == pytest.approx(entropy(members).mean(), abs=1e-5)
    else:
        assert expected("MKL") == pytest.approx(reverse_information, abs=1e-5)
    for columns in found.values():
        assert all((columns[name] >= 0).all() for name in ("TU", "DU", "MI", "EPKL", "MKL"))


@pytest.mark.parametrize("combination", ["pe", "ep"])
def test_scores_of_both_combinations(members: np.ndarray, combination: str) -> None:
    """Whichever combination searched, the file has the scores of both."""
    own, both = walked(combination), {name: walked(name) for name in ("pe", "ep")}
    for sequence, probability in zip(SEQUENCES, members.T, strict=True):
        measures = hypothesis_measures({k: v.double().numpy() for k, v in own[sequence].items()})
        length = len(sequence)
        for name, columns in both.items():
            log_probability = columns[sequence]["log_probability"].double().sum().item()
            data = -np.log(probability).mean()
            assert measures[f"{name.upper()}-sTU"] == pytest.approx(-log_probability / length, abs=1e-5)
            assert measures[f"{name.upper()}-sMKL"] == pytest.approx(
                (data + log_probability) / length, abs=1e-5
            )
        assert measures["sTU"] == pytest.approx(measures[f"{combination.upper()}-sTU"], abs=1e-5)
        assert measures["sMKL"] == pytest.approx(measures[f"{combination.upper()}-sMKL"], abs=1e-5)
        assert measures["sDU"] == pytest.approx(-np.log(probability).mean() / length, abs=1e-5)
