"""Cross-BLEU against sacreBLEU's own sentence BLEU, pair by pair."""

from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from sacrebleu.metrics import BLEU

from ednd_nmt.cli import main
from ednd_nmt.decisions import Reranking
from ednd_nmt.errors import UserError
from ednd_nmt.evaluation import hypothesis_weights
from ednd_nmt.evaluation.columns import Aggregation, read_columns
from ednd_nmt.evaluation.disagreement import (
    NAME,
    pairwise_distances,
    sentence_disagreement,
    with_disagreement,
)
from ednd_nmt.record_reader import read_records
from ednd_nmt.records import Header, Sentence

TEXTS = [
    "Die neue Datei ist in diesem Verzeichnis.",
    "Die neue Datei ist im Verzeichnis.",
    "Die Datei, die neue Datei, ist nicht da!",
    "Niemals",
    "",
    "  ",
    "Die neue Datei ist in diesem Verzeichnis.",
]


def distance(ours: str, theirs: str) -> float:
    """The definition; texts that are the same agree, whatever BLEU makes of empty ones."""
    score = BLEU(effective_order=True).sentence_score(ours, [theirs]).score
    return 0.0 if ours == theirs else 1 - score / 100


def test_every_pair_is_sacrebleus(runs: Path) -> None:
    _, sentences = read_records(runs / "student/test.jsonl")
    for texts in [TEXTS, *([h.text for h in sentence.hypotheses] for sentence in sentences)]:
        distances = pairwise_distances(texts)
        expected = [[distance(ours, theirs) for theirs in texts] for ours in texts]
        np.testing.assert_allclose(distances, expected, atol=1e-12)
        assert distances.min() >= 0
        assert distances.max() <= 1


def first_sentence(runs: Path) -> tuple[Header, Sentence]:
    header, sentences = read_records(runs / "student/test.jsonl")
    return header, next(sentence for sentence in sentences if sentence.id == 3)


@pytest.mark.parametrize("weighting", ["posterior", "uniform"])
def test_the_sentence_is_the_weighted_mean_over_pairs(runs: Path, weighting: str) -> None:
    header, sentence = first_sentence(runs)
    header = dataclasses.replace(header, weighting=weighting, temperature=10.0)
    weights = hypothesis_weights([h.log_probability for h in sentence.hypotheses], weighting, 10.0).tolist()
    texts = [h.text for h in sentence.hypotheses]
    pairs = list(itertools.permutations(zip(weights, texts, strict=True), 2))
    expected = sum(v * w * distance(a, b) for (v, a), (w, b) in pairs) / sum(
        v * w for (v, _), (w, _) in pairs
    )
    measured = with_disagreement(sentence, header)
    assert measured.measures["disagreement"] == pytest.approx(expected)
    assert sentence_disagreement(sentence.hypotheses, header) == measured.measures["disagreement"]
    risks = [sum(w * distance(a, b) for w, b in zip(weights, texts, strict=True)) for a in texts]
    assert [h.measures["disagreement"] for h in measured.hypotheses] == pytest.approx(risks)


def test_a_sure_posterior_does_not_round_its_pairs_away(runs: Path) -> None:
    """The second hypothesis weighs 1e-30 beside the first: the mean is still that of their pair."""
    header, sentence = first_sentence(runs)
    first, second, *_ = sentence.hypotheses
    pair = (
        dataclasses.replace(first, log_probability=0.0),
        dataclasses.replace(second, log_probability=math.log(1e-30)),
    )
    expected = (distance(first.text, second.text) + distance(second.text, first.text)) / 2
    assert sentence_disagreement(pair, header) == pytest.approx(expected)


def test_one_hypothesis_agrees_and_one_per_sentence_is_an_error(runs: Path) -> None:
    header, sentence = first_sentence(runs)
    assert sentence_disagreement(sentence.hypotheses[:1], header) == 0.0
    assert sentence_disagreement(sentence.hypotheses, dataclasses.replace(header, weighting="best")) == 0.0
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


@pytest.mark.parametrize("nbest", [1, 2])
def test_that_of_a_file_is_made_anew_for_other_hypotheses_or_weights(
    runs: Path, tmp_path: Path, nbest: int
) -> None:
    """The hypotheses' own values are of the file's list and weights, and their mean is no disagreement of a sentence."""
    path, output = runs / "student/test.jsonl", tmp_path / "test.jsonl"
    assert main(["rerank", str(path), "--penalty", "0", "--measure", NAME, "--output", str(output)]) == 0
    anew = Aggregation(weighting="uniform", nbest=nbest)
    expected = read_columns(path, dataclasses.replace(anew, disagreement=True)).measures
    measured = read_columns(output, anew).measures
    assert (NAME in measured) == (nbest > 1)
    assert measured.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(measured[name], values)


def test_reranking_leaves_that_of_the_sentence(runs: Path) -> None:
    """Where the best hypothesis has all the weight no pair has any, whichever is the best."""
    header, sentences = read_records(runs / "student/test.jsonl")
    header = dataclasses.replace(header, weighting="best")
    moved = 0
    for sentence in sentences:
        reranked = Reranking("TU", 100.0).apply(with_disagreement(sentence, header), header)
        assert reranked.measures[NAME] == 0.0
        moved += reranked.text != sentence.text
    assert moved
