"""Scores and signatures as text and JSON."""

from __future__ import annotations

import json

from ednd_nmt.evaluation.bootstrap import Interval
from ednd_nmt.evaluation.score import FIGURES, Score, Signature

SIGNATURE = Signature(
    {"measure": "sTU", "T": 1.0, "combination": None, "quality": "BLEU[a:b|c:d]", "bs": 1000}
)
SCORE = Score(FIGURES["PRR"], 41.26, SIGNATURE, Interval(41.16, 39.0, 43.2))


def test_text_is_like_sacrebleus() -> None:
    assert SCORE.format() == "PRR = 41.3 (μ = 41.2 ± 2.1)"
    assert SCORE.format(score_only=True) == "41.3"


def test_a_score_without_interval() -> None:
    score = Score(FIGURES["Kendall"], 0.12345, SIGNATURE)
    assert score.format() == "Kendall = 0.123"
    assert score.as_dict()["confidence"] is None


def test_json_comes_from_the_same_object() -> None:
    assert json.loads(json.dumps(SCORE.as_dict())) == {
        "figure": "PRR",
        "score": 41.26,
        "unit": "%",
        "higher_is_better": True,
        "confidence": {"level": 0.95, "mean": 41.16, "low": 39.0, "high": 43.2},
        "signature": "measure:sTU|T:1|quality:BLEU[a:b|c:d]|bs:1000",
    }
