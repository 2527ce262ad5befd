"""Cross-BLEU against sacreBLEU's own sentence BLEU, pair by pair."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from sacrebleu.metrics import BLEU

from ednd_nmt.errors import UserError
from ednd_nmt.evaluation import hypothesis_weights
from ednd_nmt.evaluation.columns import Aggregation, read_columns
from ednd_nmt.evaluation.disagreement import (
    hypothesis_disagreement,
    sentence_disagreement,
    with_disagreement,
)
from ednd_nmt.records import Header, Sentence, read_records

TEXTS = [
    "Die neue Datei ist in diesem Verzeichnis.",
    "Die neue Datei ist im Verzeichnis.",
    "Die Datei, die neue Datei, ist nicht da!",
    "Niemals",
    "",
    "  ",
    "Die neue Datei ist in diesem Verzeichnis.",
]


def by_pairs(texts: list[str], weights: list[float]) -> list[float]:
    """The definition; texts that are the same agree, whatever BLEU makes of empty ones."""
    bleu = BLEU(effective_order=True)
    return [
        sum(
            weight * (0.0 if ours == theirs else 1 - bleu.sentence_score(ours, [theirs]).score / 100)
            for theirs, weight in zip(texts, weights, strict=True)
        )
        for ours in texts
    ]


def test_every_pair_is_sacrebleus(runs: Path) -> None:
    generator = np.random.default_rng(0)
    _, sentences = read_records(runs / "student/test.jsonl")
    lists = [TEXTS, *([h.text for h in sentence.hypotheses] for sentence in sentences)]
    for texts in lists:
        weights = generator.dirichlet(np.ones(len(texts))).tolist()
        expected = by_pairs(texts, weights)
        np.testing.assert_allclose(hypothesis_disagreement(texts, weights), expected, atol=1e-12)
        assert all(0 <= value <= 1 for value in expected)


def first_sentence(runs: Path) -> tuple[Header, Sentence]:
    header, sentences = read_records(runs / "student/test.jsonl")
    return header, next(sentence for sentence in sentences if sentence.id == 3)


@pytest.mark.parametrize("weighting", ["posterior", "uniform", "best"])
def test_the_sentence_is_the_weighted_mean_of_its_hypotheses(runs: Path, weighting: str) -> None:
    header, sentence = first_sentence(runs)
    header = dataclasses.replace(header, weighting=weighting, temperature=10.0)
    weights = hypothesis_weights([h.log_probability for h in sentence.hypotheses], weighting, 10.0)
    measured = with_disagreement(sentence, header)
    expected = by_pairs([h.text for h in sentence.hypotheses], weights.tolist())
    assert [h.measures["disagreement"] for h in measured.hypotheses] == pytest.approx(expected)
    assert measured.measures["disagreement"] == pytest.approx(float(weights @ expected))
    assert sentence_disagreement(sentence.hypotheses, header) == measured.measures["disagreement"]
    assert (measured.measures["disagreement"] == 0) is (weighting == "best")


def test_one_hypothesis_agrees_and_one_per_sentence_is_an_error(runs: Path) -> None:
    header, sentence = first_sentence(runs)
    assert sentence_disagreement(sentence.hypotheses[:1], header) == 0.0
    with pytest.raises(UserError, match="translate with --nbest 5"):
        with_disagreement(sentence, dataclasses.replace(header, nbest=1))


def test_evaluation_has_it_as_a_column_where_it_is_asked_for(runs: Path) -> None:
    path = runs / "student/test.jsonl"
    header, sentences = read_records(path)
    uniform = dataclasses.replace(header, weighting="uniform")
    expected = [sentence_disagreement(sentence.hypotheses[:2], uniform) for sentence in sentences]
    asked = Aggregation(weighting="uniform", nbest=2, disagreement=True)
    np.testing.assert_allclose(read_columns(path, asked).measures["disagreement"], expected)
    assert "disagreement" not in read_columns(path).measures
    assert "disagreement" not in read_columns(path, Aggregation(nbest=1, disagreement=True)).measures
    as_written = read_columns(path, Aggregation(disagreement=True)).measures
    np.testing.assert_array_equal(as_written["TU"], read_columns(path).measures["TU"])
