"""Weights over the n-best list."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from ednd_nmt.errors import UserError
from ednd_nmt.evaluation import hypothesis_weights, sentence_measures
from ednd_nmt.records import Hypothesis

SCORES = np.random.default_rng(0).normal(-50, 10, size=(4, 5))


@pytest.mark.parametrize("temperature", [0.1, 1.0, 1e6])
def test_posterior_weights_are_a_softmax(temperature: float) -> None:
    weights = hypothesis_weights(SCORES, "posterior", temperature)
    np.testing.assert_allclose(weights, softmax(SCORES / temperature, axis=-1), atol=1e-14)


def test_posterior_weights_stand_log_probabilities_far_below_the_range_of_exp() -> None:
    np.testing.assert_allclose(hypothesis_weights([-5000.0, -5000.0, -6000.0]), [0.5, 0.5, 0.0])


def test_uniform_best_and_missing_hypotheses() -> None:
    scores = [[-1.0, -2.0, -np.inf], [-1.0, -2.0, -3.0]]
    np.testing.assert_allclose(hypothesis_weights(scores, "uniform"), [[0.5, 0.5, 0], [1 / 3] * 3])
    np.testing.assert_allclose(hypothesis_weights(scores, "best"), [[1, 0, 0], [1, 0, 0]])
    assert hypothesis_weights(scores)[0, 2] == 0


def test_sentence_measures_are_the_weighted_mean() -> None:
    def hypothesis(log_probability: float, total: float) -> Hypothesis:
        return Hypothesis("", ("</s>",), log_probability, log_probability, {"TU": total, "MI": 2 * total}, {})

    pair = [hypothesis(np.log(0.6), 1.0), hypothesis(np.log(0.2), 3.0)]
    assert sentence_measures(pair) == pytest.approx({"TU": 1.5, "MI": 3.0})
    assert sentence_measures(pair, "uniform") == pytest.approx({"TU": 2.0, "MI": 4.0})
    assert sentence_measures(pair, "best") == pytest.approx({"TU": 1.0, "MI": 2.0})
    assert list(sentence_measures(pair)) == ["TU", "MI"]


def test_faulty_options_are_one_clear_sentence() -> None:
    with pytest.raises(
        UserError, match="Unknown n-best weighting 'mean'; choose one of posterior, uniform, best"
    ):
        hypothesis_weights([0.0], "mean")
    with pytest.raises(UserError, match="must be above 0, not 0"):
        hypothesis_weights([0.0], "posterior", 0.0)
