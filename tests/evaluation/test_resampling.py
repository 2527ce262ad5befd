"""Figures from counts equal the public functions on the sentences written out, ties and all."""

from __future__ import annotations

import numpy as np
import pytest

from ednd_nmt.evaluation import correlation, detection, rejection
from ednd_nmt.evaluation.bootstrap import resample_counts
from ednd_nmt.evaluation.kendall import KendallTau
from ednd_nmt.evaluation.quality import corpus_metrics
from ednd_nmt.evaluation.resampling import CorpusQuality, ErrorDetection, ShiftDetection

GENERATOR = np.random.default_rng(0)
ERROR = GENERATOR.integers(0, 60, size=80) * 2.0
TIED = GENERATOR.integers(0, 12, size=80) / 8.0 + ERROR / 100
DISTINCT = GENERATOR.normal(size=80) + ERROR / 100
COUNTS = np.vstack([np.ones(80), *next(resample_counts([80], resamples=4))])


@pytest.mark.parametrize("uncertainty", [TIED, DISTINCT])
@pytest.mark.parametrize("row", range(5))
def test_error_detection_equals_the_functions_on_the_drawn_sentences(
    uncertainty: np.ndarray, row: int
) -> None:
    drawn = np.repeat(np.arange(80), COUNTS[row].astype(int))
    figures = {name: values[row] for name, values in ErrorDetection(ERROR, uncertainty)(COUNTS).items()}
    data = (ERROR[drawn], uncertainty[drawn])
    f1 = rejection.f1_retention(*data, threshold=60.0)
    expected = {
        "PRR": rejection.prediction_rejection_ratio(*data),
        "R-AUC": rejection.error_retention_area(*data),
        "AURC": rejection.area_under_risk_coverage(*data),
        "truncated PRR": rejection.truncated_prediction_rejection_ratio(*data),
        "F1-AUC": f1.area,
        "F1@95": f1.at_95,
        "Spearman": correlation.spearman(*data),
        "Kendall": correlation.kendall(*data),
        "Pearson": correlation.pearson(*data),
    }
    assert figures == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("row", range(5))
def test_shift_detection_equals_scikit_learn_on_the_drawn_sentences(row: int) -> None:
    in_domain, shifted = TIED[:50], TIED[50:] + 0.25
    counts = [COUNTS[:, :50], COUNTS[:, 50:]]
    drawn = [np.repeat(v, c[row].astype(int)) for v, c in zip((in_domain, shifted), counts, strict=True)]
    figures = {name: values[row] for name, values in ShiftDetection(in_domain, shifted)(*counts).items()}
    expected = {
        "ROC-AUC": detection.roc_auc(*drawn),
        "AUPR": detection.average_precision(*drawn),
        "FPR@95": detection.false_positive_rate_at_95(*drawn),
    }
    assert figures == pytest.approx(expected, rel=1e-10)


def test_corpus_quality_equals_sacrebleu_on_the_drawn_sentences() -> None:
    from sacrebleu.metrics import BLEU, CHRF

    words = ["das", "ist", "ein", "kleiner", "Satz", "und", "noch", "einer", "."]
    references = [" ".join(GENERATOR.choice(words, size=9)) for _ in range(80)]
    hypotheses = [" ".join(r.split()[:5] + list(GENERATOR.choice(words, size=3))) for r in references]
    drawn = np.repeat(np.arange(80), COUNTS[1].astype(int))
    for metric, independent in zip(corpus_metrics(), (BLEU(), CHRF()), strict=True):
        resampled = CorpusQuality(metric, metric.statistics(hypotheses, references))(COUNTS)[metric.name]
        for row, indices in enumerate((range(80), drawn)):
            score = independent.corpus_score(
                [hypotheses[i] for i in indices], [[references[i] for i in indices]]
            )
            assert resampled[row] == pytest.approx(score.score, abs=1e-9)
        assert metric.signature == independent.get_signature().format()


@pytest.mark.parametrize("n", [1, 2, 3, 7, 40])
def test_kendall_with_many_ties_at_every_size(n: int) -> None:
    """Sizes beside the powers of two at which the merging goes one level deeper; SciPy on the sentences written out."""
    first, second = GENERATOR.integers(0, 4, size=(2, n)).astype(float)
    counts = np.vstack([np.ones(n), next(resample_counts([n], resamples=20))[0]])
    for row, value in zip(counts, KendallTau(first, second)(counts), strict=True):
        drawn = np.repeat(np.arange(n), row.astype(int))
        if np.ptp(first[drawn]) > 0 and np.ptp(second[drawn]) > 0:
            assert value == pytest.approx(correlation.kendall(first[drawn], second[drawn]), abs=1e-12)
        else:
            assert np.isnan(value)


def test_a_resample_of_equal_errors_has_no_prr() -> None:
    error = np.array([0.1, 0.1, 0.1, 0.7])
    counts = np.array([[2.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 4.0], [1.0, 1.0, 1.0, 1.0]])
    figures = ErrorDetection(error, np.array([0.0, 1.0, 2.0, 3.0]))(counts)
    for name in ("PRR", "truncated PRR"):
        assert np.isnan(figures[name]).tolist() == [True, True, False]
    assert np.isfinite(figures["R-AUC"]).all()
