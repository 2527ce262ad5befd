"""Reranking and abstention against plain loops, and decisions as files."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ednd_nmt.decisions import (
    Abstention,
    Decision,
    Fitted,
    Reranking,
    budget_threshold,
    read_decision,
)
from ednd_nmt.errors import UserError
from ednd_nmt.evaluation import sentence_measures
from ednd_nmt.evaluation.calibration import Calibration
from ednd_nmt.records import Header, Hypothesis, Sentence

HEADER = Header("student", members=1, nbest=5, beam=5)
FITTED = Fitted("valid.jsonl", HEADER.predictive, HEADER.conditions, 100, "BLEU|version:2", 20.0, 20.5)
DECISION = Decision(Reranking("MI", 0.5), Abstention("TU", 1.25), FITTED)


def make_sentence(seed: int, size: int = 5, weighting: str = "posterior") -> Sentence:
    """Scores fall, and are rounded so that reranked lists have ties."""
    generator = np.random.default_rng(seed)
    scores = -np.sort(generator.integers(0, 8, size=size) / 4)
    columns = {"TU": generator.random(size), "MI": generator.integers(0, 8, size=size) / 4}
    hypotheses = tuple(
        Hypothesis(
            f"text {i}",
            ("</s>",),
            float(score),
            7 * float(score),
            {name: float(values[i]) for name, values in columns.items()},
            {},
        )
        for i, score in enumerate(scores)
    )
    return Sentence(seed, "source", hypotheses, sentence_measures(hypotheses, weighting))


@pytest.mark.parametrize("penalty", [0.0, 0.5, 1.0, 3.0])
def test_reranking_is_a_selection_sort_by_hand(penalty: float) -> None:
    for seed in range(50):
        sentence = make_sentence(seed)
        left, expected = list(sentence.hypotheses), []
        while left:
            best = left[0]
            for other in left[1:]:
                if other.score - penalty * other.measures["MI"] > best.score - penalty * best.measures["MI"]:
                    best = other
            left.remove(best)
            expected.append(best.text)
        reranked = Reranking("MI", penalty).apply(sentence, HEADER)
        assert [hypothesis.text for hypothesis in reranked.hypotheses] == expected
        assert reranked.measures == sentence.measures
        if penalty == 0.0:
            assert reranked == sentence


def test_measures_of_the_best_hypothesis_follow_it() -> None:
    header = dataclasses.replace(HEADER, weighting="best")
    moved = 0
    for seed in range(20):
        sentence = make_sentence(seed, weighting="best")
        marked = dataclasses.replace(sentence, measures={**sentence.measures, "p_bad": 0.25})
        reranked = Reranking("MI", 1.0).apply(marked, header)
        assert reranked.measures == {**reranked.hypotheses[0].measures, "p_bad": 0.25}
        moved += reranked.text != sentence.text
    assert moved


@pytest.mark.parametrize("share", [0.0, 0.05, 0.1, 0.29, 0.5, 0.99])
@pytest.mark.parametrize("levels", [3, 10, 10**9])
def test_a_budget_covers_whole_groups_of_equals(share: float, levels: int) -> None:
    """Groups of equal values from the most uncertain on, as long as they fit."""
    for n in (1, 7, 100):
        values = np.random.default_rng([n, levels]).integers(0, levels, size=n).astype(float)
        budget = math.floor(round(share * n, 6))
        chosen: list[float] = []
        for value in sorted(set(values), reverse=True):
            group = [v for v in values if v == value]
            if len(chosen) + len(group) > budget:
                break
            chosen += group
        threshold = budget_threshold(values.tolist(), share)
        assert sorted(values[values > threshold]) == sorted(chosen)
        if levels > 10:
            assert len(chosen) == budget


def test_abstention_is_above_the_threshold_and_not_at_it() -> None:
    sentence = make_sentence(1)
    for measure, value in sentence.measures.items():
        assert Abstention(measure, value).apply(sentence).abstained is False
        assert Abstention(measure, math.nextafter(value, -1)).apply(sentence).abstained is True


def test_a_decision_reranks_then_calibrates_then_abstains() -> None:
    calibration = Calibration(("TU",), (0.0,), (1.0,), (2.0,), -1.0, "bleu", 30.0, 10)
    decision = Decision(Reranking("MI", 1.0), Abstention("p_bad", 0.5))
    for seed in range(20):
        sentence = make_sentence(seed)
        acted = decision.apply(sentence, HEADER, calibration)
        expected = 1 / (1 + math.exp(1 - 2 * sentence.measures["TU"]))
        assert acted.measures["p_bad"] == pytest.approx(expected)
        assert acted.abstained is (expected > 0.5)
        assert acted.hypotheses == Reranking("MI", 1.0).apply(sentence, HEADER).hypotheses
    assert Decision().apply(sentence, HEADER) == sentence


def test_the_header_says_what_was_done() -> None:
    first = DECISION.header(HEADER)
    assert first.decision == "rerank[MI*0.5],abstain[TU>1.25]"
    again = Decision(abstain=Abstention("p_bad", 0.5)).header(first)
    assert again.decision == "rerank[MI*0.5],abstain[TU>1.25],abstain[p_bad>0.5]"
    assert Decision(Reranking("MI", 0.0)).header(HEADER).decision is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"system": "ensemble"}, "with the system student, but here the system is ensemble"),
        ({"decoding": "mean"}, "with the system student, but here the system is student,decoding=mean"),
        ({"offset": 0.0}, "with the system student, but here the system is student,offset=0"),
        (
            {"system": "ensemble", "members": 3, "combination": "ep"},
            "but here the system is ensemble,members=3,combination=ep",
        ),
        ({"beam": 4}, "search beam=5,nbest=5,weighting=posterior,T=1, but here the search is beam=4,nbest=5"),
        ({"search": "lenpen=1.2"}, "but here the search is beam=5,lenpen=1.2,nbest=5"),
        ({"nbest": 1}, "but here the search is beam=5,nbest=1"),
        ({"weighting": "best"}, "but here the search is beam=5,nbest=5,weighting=best"),
        ({"temperature": 2.0}, "but here the search is beam=5,nbest=5,weighting=posterior,T=2"),
    ],
)
def test_a_decision_for_other_records_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        DECISION.header(dataclasses.replace(HEADER, **changes))


def test_the_seed_of_a_search_does_not_matter() -> None:
    seeds = [dataclasses.replace(HEADER, search=f"sampling=True,seed={seed}") for seed in (1, 25)]
    assert (
        seeds[0].conditions == seeds[1].conditions == "beam=5,sampling=True,nbest=5,weighting=posterior,T=1"
    )


def test_faulty_requests_are_one_clear_sentence() -> None:
    with pytest.raises(UserError, match="there is one per sentence"):
        Decision(Reranking("MI", 1.0)).header(dataclasses.replace(HEADER, nbest=1))
    with pytest.raises(UserError, match=r"did you mean 'MI'\?\); it has TU, MI"):
        Reranking("MKI", 1.0).apply(make_sentence(0), HEADER)
    with pytest.raises(UserError, match="did you mean 'TU'"):
        Abstention("sTU", 1.0).apply(make_sentence(0))
    for share in (-0.1, 1.0, math.nan):
        with pytest.raises(UserError, match="must be from 0 to below 1"):
            budget_threshold([1.0], share)
    for penalty in (-1.0, math.inf, math.nan):
        with pytest.raises(UserError, match="must be a number from 0"):
            Reranking("MI", penalty)
    with pytest.raises(UserError, match="finite number, not nan"):
        Abstention("MI", math.nan)


@pytest.mark.parametrize("decision", [DECISION, Decision(), Decision(abstain=Abstention("TU", 1.0))])
def test_what_is_saved_is_read_back(decision: Decision, tmp_path: Path) -> None:
    path = tmp_path / "decision.json"
    path.write_text(decision.to_json(), encoding="utf-8")
    assert read_decision(path) == decision


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "is not a decision of version 2"),
        ({"version": 1}, "is not a decision of version 2"),
        ({"more": 1}, "missing or unknown field; it must have rerank, abstain, fitted"),
        ({"rerank": [1]}, "'rerank' is not an object of JSON; it must have measure, penalty"),
        ({"rerank": {"measure": "MI"}}, "'rerank' has a wrong, missing"),
        ({"rerank": {"measure": "MI", "penalty": "1"}}, "'rerank' has a wrong, missing"),
        ({"rerank": {"measure": "MI", "penalty": True}}, "'rerank' has a wrong, missing"),
        ({"rerank": {"measure": "MI", "penalty": -1}}, "must be a number from 0, not -1"),
        ({"abstain": {"measure": 1, "threshold": 1.0}}, "'abstain' has a wrong, missing"),
    ],
)
def test_a_faulty_file_is_one_clear_sentence(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = tmp_path / "decision.json"
    path.write_text(json.dumps({**json.loads(DECISION.to_json()), **changes}), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_decision(path)


def test_a_file_that_is_none_is_one_clear_sentence(tmp_path: Path) -> None:
    path = tmp_path / "decision.json"
    with pytest.raises(UserError, match="Cannot read"):
        read_decision(path)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match="is not valid JSON"):
        read_decision(path)
