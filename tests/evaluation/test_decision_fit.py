"""Fitting a decision, against sacreBLEU on texts reranked one by one; and the command."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF

from ednd_nmt.cli import main
from ednd_nmt.decisions import Abstention, Decision, Reranking, read_decision
from ednd_nmt.errors import UserError
from ednd_nmt.evaluation import fit_command
from ednd_nmt.evaluation.decision_fit import (
    Records,
    corpus_metric,
    fit_decision,
    hypothesis_arrays,
    payoff,
    penalties,
    read_for_decision,
)
from ednd_nmt.records import Sentence


@pytest.fixture(scope="module")
def valid(runs: Path) -> Records:
    return read_for_decision(runs / "student/test.jsonl", ["disagreement"])


def corpus(metric: BLEU | CHRF, sentences: list[Sentence]) -> float:
    references = [[str(sentence.reference) for sentence in sentences]]
    return float(metric.corpus_score([sentence.text for sentence in sentences], references).score)


@pytest.mark.parametrize(("name", "metric"), [("bleu", BLEU()), ("chrf", CHRF())])
@pytest.mark.parametrize("measure", ["MI", "disagreement"])
def test_no_other_penalty_of_the_grid_is_better(
    valid: Records, name: str, metric: BLEU | CHRF, measure: str
) -> None:
    decision = fit_decision(valid, measure, corpus_metric(name))
    assert decision.rerank is not None
    assert decision.fitted is not None
    tried = penalties(*hypothesis_arrays(valid.sentences, measure)).tolist()
    figures = [
        corpus(metric, [Reranking(measure, penalty).apply(s, valid.header) for s in valid.sentences])
        for penalty in tried
    ]
    assert tried[0] == 0.0
    assert decision.rerank.penalty == tried[figures.index(max(figures))]
    assert decision.fitted.searched == pytest.approx(corpus(metric, valid.sentences))
    assert decision.fitted.reranked == pytest.approx(max(figures))
    assert decision.abstain is None


def test_the_penalties_are_spread_around_equal_weights() -> None:
    """Two lists, one of them shorter; root mean squares by hand."""
    scores = np.array([[-1.0, -2.0, -3.0], [-1.0, -2.0, -np.inf]])
    values = np.array([[0.0, 30.0, 0.0], [5.0, 15.0, 0.0]])
    tried = penalties(scores, values)
    score_spread = math.sqrt((1 + 0 + 1 + 0.25 + 0.25) / 5)
    value_spread = math.sqrt((100 + 400 + 100 + 25 + 25) / 5)
    assert len(tried) == 42
    assert tried[[0, 1, 21, -1]] == pytest.approx(np.array([0, 0.01, 1, 100]) * score_spread / value_spread)
    assert penalties(scores, np.ones_like(values)).tolist() == [0.0]


def test_without_a_gain_the_search_keeps_its_order(valid: Records) -> None:
    """The references are what the search put first: nothing can be better."""
    perfect = dataclasses.replace(
        valid,
        sentences=[dataclasses.replace(sentence, reference=sentence.text) for sentence in valid.sentences],
    )
    decision = fit_decision(perfect, "MI", corpus_metric("bleu"))
    assert decision.rerank == Reranking("MI", 0.0)
    assert decision.fitted is not None
    assert decision.fitted.searched == decision.fitted.reranked == pytest.approx(100)


def test_a_list_in_another_order_is_measured_as_it_stands(valid: Records) -> None:
    """Somebody else's may be by minimum Bayes risk: without a penalty its first translation is the one that counts."""
    turned = [
        dataclasses.replace(sentence, hypotheses=sentence.hypotheses[::-1]) for sentence in valid.sentences
    ]
    other, metric = dataclasses.replace(valid, sentences=turned), corpus_metric("bleu")
    decision = fit_decision(other, "MI", metric)
    assert decision.fitted is not None
    assert decision.fitted.searched == pytest.approx(corpus(BLEU(), turned))
    assert payoff(decision, other, metric, resamples=10).searched == pytest.approx(decision.fitted.searched)
    unchanged = Decision(Reranking("MI", 0.0))
    assert [unchanged.apply(sentence, other.header) for sentence in turned] == turned


def test_a_measure_that_knows_the_truth_is_found(valid: Records) -> None:
    """With the errors themselves as the measure, the best hypothesis by sentence comes first."""
    bleu = BLEU(effective_order=True)

    def knowing(sentence: Sentence) -> Sentence:
        hypotheses = tuple(
            dataclasses.replace(
                h, measures={"error": 100 - bleu.sentence_score(h.text, [str(sentence.reference)]).score}
            )
            for h in sentence.hypotheses
        )
        return dataclasses.replace(sentence, hypotheses=hypotheses)

    told = dataclasses.replace(valid, sentences=[knowing(sentence) for sentence in valid.sentences])
    decision = fit_decision(told, "error", corpus_metric("bleu"))
    assert decision.fitted is not None
    assert decision.fitted.reranked > decision.fitted.searched + 2
    gain = payoff(decision, told, corpus_metric("bleu"), resamples=100).reranked
    assert gain is not None
    assert gain.interval.low > 0
    assert gain.p_value < 0.05


@pytest.mark.parametrize("measure", ["sTU", "disagreement"])
def test_the_threshold_abstains_on_the_share(valid: Records, measure: str) -> None:
    decision = fit_decision(valid, "MI", corpus_metric("bleu"), measure, 0.1)
    acted = [decision.apply(sentence, valid.header) for sentence in valid.sentences]
    assert sum(bool(sentence.abstained) for sentence in acted) == 6  # of 60
    doubtful = sorted(valid.sentences, key=lambda sentence: sentence.measures[measure])[-6:]
    assert {s.id for s in acted if s.abstained} == {s.id for s in doubtful}


def test_the_payoff_is_sacrebleus_difference(valid: Records, runs: Path) -> None:
    other = read_for_decision(runs / "student/permuted.jsonl", [])
    decision = dataclasses.replace(
        fit_decision(valid, "MI", corpus_metric("bleu")),
        rerank=Reranking("MI", 2.0),
        abstain=Abstention("sTU", 0.9),
    )
    result = payoff(decision, other, corpus_metric("bleu"), share=0.25, resamples=200)
    acted = [decision.apply(sentence, other.header) for sentence in other.sentences]
    kept = [sentence for sentence in acted if sentence.measures["sTU"] <= 0.9]
    budget = sorted(acted, key=lambda sentence: sentence.measures["sTU"])[:30]  # of 40
    bleu = BLEU()
    assert 0 < len(kept) < 40
    assert result.abstained == pytest.approx(1 - len(kept) / 40)
    assert result.searched == pytest.approx(corpus(bleu, other.sentences))
    written = len("".join(str(sentence.reference) for sentence in acted))
    assert result.lengths == tuple(
        pytest.approx(len("".join(sentence.text for sentence in order)) / written)
        for order in (other.sentences, acted)
    )
    for gain, ours, theirs in (
        (result.reranked, acted, other.sentences),
        (result.kept, kept, acted),
        (result.budget, budget, acted),
    ):
        assert gain is not None
        assert gain.score == pytest.approx(corpus(bleu, ours))
        assert gain.difference == pytest.approx(corpus(bleu, ours) - corpus(bleu, theirs))
        assert gain.share == len(ours) / 40
        assert gain.interval.low < gain.difference < gain.interval.high


def test_what_keeps_nothing_has_no_gain(runs: Path) -> None:
    """The quality of no sentence is not 0: neither of a set, nor of a resample in which nothing is kept."""
    other = read_for_decision(runs / "student/permuted.jsonl", [])
    surest = min(other.sentences, key=lambda sentence: sentence.measures["sTU"])
    least, metric = surest.measures["sTU"], corpus_metric("chrf")
    one = payoff(Decision(abstain=Abstention("sTU", least)), other, metric, resamples=200).kept
    assert one is not None
    assert one.share == 1 / 40
    assert one.score == pytest.approx(corpus(CHRF(), [surest]))
    assert (
        0 < one.interval.low < one.difference < one.interval.high
    )  # a third of the resamples has others only
    none = payoff(Decision(abstain=Abstention("sTU", least / 2)), other, metric, resamples=200)
    assert (none.abstained, none.kept) == (1.0, None)
    assert fit_command._lines(none, "chrF")[-1] == "nothing is kept by the threshold"


def test_a_set_without_references_shows_what_is_abstained_on(valid: Records, runs: Path) -> None:
    decision = fit_decision(valid, "MI", corpus_metric("bleu"), share=0.1)
    german = read_for_decision(runs / "student/german.jsonl", [])
    result = payoff(decision, german, corpus_metric("bleu"), 0.1)
    assert result.abstained > 0.1
    assert result.searched is result.reranked is result.kept is result.budget is None


def test_faulty_requests_are_one_clear_sentence(valid: Records, runs: Path) -> None:
    metric = corpus_metric("bleu")
    with pytest.raises(UserError, match="lacks references"):
        fit_decision(read_for_decision(runs / "student/german.jsonl", []), "MI", metric)
    single = dataclasses.replace(valid, header=dataclasses.replace(valid.header, nbest=1))
    with pytest.raises(UserError, match="one hypothesis per sentence"):
        fit_decision(single, "MI", metric)
    with pytest.raises(UserError, match="no measure 'sDU'"):
        fit_decision(valid, "sDU", metric)
    with pytest.raises(UserError, match="must be from 0 to below 1"):
        fit_decision(valid, "MI", metric, share=1.5)
    ensemble = read_for_decision(runs / "ensemble/test.jsonl", [])
    with pytest.raises(
        UserError, match="system student,decoding=mode, but here the system is ensemble,members=3"
    ):
        payoff(fit_decision(valid, "MI", metric), ensemble, metric)


def test_a_file_that_was_acted_on_is_refused(runs: Path, tmp_path: Path) -> None:
    acted = tmp_path / "acted.jsonl"
    arguments = ["rerank", str(runs / "student/test.jsonl"), "--output", str(acted)]
    assert main([*arguments, "--measure", "MI", "--penalty", "1"]) == 0
    with pytest.raises(UserError, match=r"acted on already \(rerank\[MI\*1\]\)"):
        read_for_decision(acted, [])


def test_the_command_fits_saves_and_checks(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    valid, output = runs / "ensemble/test.jsonl", tmp_path / "decision.json"
    arguments = ["fit", str(valid), "--output", str(output), "--measure", "EPKL", "--metric", "chrf"]
    arguments += ["--abstain-share", "0.1", "--abstain-measure", "sTU", "--resamples", "50"]
    arguments += ["--json", str(tmp_path / "payoff.json")]
    others = [str(runs / f"ensemble/{name}.jsonl") for name in ("permuted", "german")]
    assert main([*arguments, "--test", *others]) == 0
    printed = capsys.readouterr().out
    assert "fitted on 60 sentences" in printed
    assert printed.count("gain ") == 3  # reranked, kept by the threshold, kept by the share
    assert "no references" in printed
    decision = read_decision(output)
    assert decision.rerank is not None
    metric = corpus_metric("chrf")
    measured = read_for_decision(valid, [])
    assert decision == fit_decision(measured, "EPKL", metric, "sTU", 0.1)
    expected = dataclasses.asdict(payoff(decision, read_for_decision(others[0], []), metric, 0.1, 50))
    record = json.loads((tmp_path / "payoff.json").read_text(encoding="utf-8"))
    assert record["sets"][others[0]] == json.loads(json.dumps(expected))
    assert record["sets"][others[1]]["reranked"] is None
    assert record["decision"]["rerank"] == dataclasses.asdict(decision.rerank)


def test_a_mistake_leaves_no_file(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "decision.json"
    arguments = ["fit", str(runs / "student/test.jsonl"), "--output", str(output)]
    assert main([*arguments, "--measure", "EPLK"]) == 2
    assert "did you mean 'EPKL'" in capsys.readouterr().err
    assert main([*arguments, "--resamples", "1"]) == 2
    assert main([*arguments, "--abstain-measure", "TU"]) == 2  # it would be a decision without abstention
    assert "--abstain-measure needs --abstain-share" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
