"""Sentence scores against sacreBLEU's public methods, and GLEU against its definition."""

from __future__ import annotations

import pytest
import sacrebleu

from ednd_nmt.errors import UserError
from ednd_nmt.evaluation.quality import QUALITY_METRICS, corpus_metrics, sentence_metric

TEXT_METRICS = [name for name in QUALITY_METRICS if name != "comet"]  # comet has tests of its own

HYPOTHESES = [
    "The cat sat on the mat .",
    "Hello",
    "",
    "Ein völlig anderer Satz ohne Treffer",
    "Ja, genau so.",
]
REFERENCES = [
    "The cat sat on a mat .",
    "Hello",
    "Something",
    "The house is green and big",
    "Genau so ist es.",
]


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("bleu", sacrebleu.metrics.BLEU(effective_order=True)),
        ("chrf", sacrebleu.metrics.CHRF()),
        ("ter", sacrebleu.metrics.TER()),
    ],
)
def test_sentence_scores_are_sacrebleus(name: str, metric: sacrebleu.metrics.base.Metric) -> None:
    expected = [metric.sentence_score(h, [r]).score for h, r in zip(HYPOTHESES, REFERENCES, strict=True)]
    ours = sentence_metric(name)
    assert ours.sentence_scores(HYPOTHESES, REFERENCES).tolist() == pytest.approx(expected, abs=1e-9)
    assert ours.signature == metric.get_signature().format()


def test_a_fully_wrong_translation_scores_zero_and_a_short_right_one_100() -> None:
    scores = sentence_metric("bleu").sentence_scores(["ganz falsch", "Hello"], ["entirely right", "Hello"])
    assert scores.tolist() == pytest.approx([0, 100])


def test_gleu_is_the_smaller_of_precision_and_recall() -> None:
    # By hand: hypothesis n-grams 3+2+1 = 6, reference 4+3+2+1 = 10, common: a, b, "a b" = 3.
    metric = sentence_metric("gleu")
    assert metric.sentence_scores(["a b x"], ["a b c d"]).tolist() == pytest.approx([100 * 3 / 10])
    assert metric.sentence_scores(["a b c d"], ["a b x"]).tolist() == pytest.approx([100 * 3 / 10])
    assert metric.sentence_scores(["a a a"], ["a"]).tolist() == pytest.approx([100 / 6])
    assert metric.sentence_scores(["same words"], ["same words"]).tolist() == [100]


@pytest.mark.parametrize("language", [None, "zh"])
@pytest.mark.parametrize("name", TEXT_METRICS)
def test_nothing_is_the_right_translation_of_nothing(name: str, language: str | None) -> None:
    metric = sentence_metric(name, language)
    hypotheses, references = ["", " ", "", "a b", "a b"], ["", "", "\u3000", "", "a b"]
    errors = metric.sentence_errors(hypotheses, references).tolist()
    assert errors[:3] == [0, 0, 0]
    assert errors[3] >= 100  # words that nobody asked for
    assert errors[4] == pytest.approx(0, abs=1e-9)
    assert metric.sentence_errors(["", "a"], ["b", "b"]).tolist() == pytest.approx([100, 100])


def test_corpus_scores_with_empty_lines_are_sacrebleus() -> None:
    hypotheses, references = [*HYPOTHESES, ""], [*REFERENCES, ""]
    for metric, theirs in zip(
        corpus_metrics(), (sacrebleu.metrics.BLEU(), sacrebleu.metrics.CHRF()), strict=True
    ):
        found = metric.score(metric.statistics(hypotheses, references).sum(0).tolist())
        assert found == pytest.approx(theirs.corpus_score(hypotheses, [references]).score)


def test_errors_are_larger_for_worse_translations_whatever_the_direction_of_the_metric() -> None:
    for name in TEXT_METRICS:
        good, bad = sentence_metric(name).sentence_errors(
            ["the same words here", "nothing"], ["the same words here"] * 2
        )
        assert good == pytest.approx(0, abs=1e-9)
        assert bad > 50


def test_faulty_input_is_one_clear_sentence() -> None:
    with pytest.raises(
        UserError, match="Unknown quality metric 'rouge'; choose one of bleu, chrf, ter, gleu, comet"
    ):
        sentence_metric("rouge")
    for name in TEXT_METRICS:
        with pytest.raises(UserError, match="2 translations and 1 references"):
            sentence_metric(name).sentence_scores(["a", "b"], ["a"])
    with pytest.raises(UserError, match="Unknown quality metric 'bleu:4'"):
        sentence_metric("bleu:4")


def test_chinese_is_cut_as_sacrebleu_cuts_it() -> None:
    hypotheses, references = ["我喜欢苹果。", "今天天气很好。"], ["我喜欢红苹果。", "今天的天气很好。"]
    expected = sacrebleu.corpus_bleu(hypotheses, [references], tokenize="zh", force=True)
    for language in ("zh", "zh_CN", "ZH-tw"):
        metric = corpus_metrics(language)[0]
        assert metric.score(metric.statistics(hypotheses, references).sum(0).tolist()) == pytest.approx(
            expected.score
        )
        assert "tok:zh" in metric.signature
    scores = sentence_metric("bleu", "zh").sentence_scores(hypotheses, references)
    alone = [
        sacrebleu.sentence_bleu(h, [r], tokenize="zh").score
        for h, r in zip(hypotheses, references, strict=True)
    ]
    assert scores.tolist() == pytest.approx(alone)
    assert 0 < sentence_metric("gleu", "zh").sentence_scores(hypotheses, references)[0] < 100
    assert 0 < sentence_metric("ter", "zh").sentence_scores(hypotheses, references)[0] < 100
    assert (
        sentence_metric("bleu").sentence_scores(hypotheses, references).max() == 0
    )  # as if each were one word
