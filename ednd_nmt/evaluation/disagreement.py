r"""How much the hypotheses of an n-best list disagree: cross-BLEU.

With the n-best weights w and ``d(s, t) = 1 - BLEU(y_s; y_t) / 100``: of the sentence the mean over all pairs of hypotheses,
``sum_{s != t} w_s w_t d(s, t) / sum_{s != t} w_s w_t``; of a hypothesis ``sum_t w_t d(s, t)``, its expected BLEU loss if the
truth were drawn from the list (the risk that minimum-Bayes-risk decoding minimises). In [0, 1]; 0 where all hypotheses are
the same, or no two of them have a weight. BLEUVar (arXiv 2006.08344) sums squares instead.

The hypotheses of one beam differ in a word or two, which is much of a short sentence and little of a long one: there the
measure may well order sentences the wrong way round. It is made for hypotheses that were sampled or sought for diversity.

BLEU is sacreBLEU's sentence BLEU with effective order. About a millisecond per sentence of five hypotheses, which is why it
is computed only where it is asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ednd_nmt.errors import UserError
from ednd_nmt.evaluation.aggregation import OF_PAIRS, hypothesis_weights
from ednd_nmt.evaluation.arrays import Vector
from ednd_nmt.evaluation.quality import tokenizer
from ednd_nmt.records import Header, Hypothesis, Sentence

NAME = OF_PAIRS
ORDER = 4  # of the n-grams, sacreBLEU's default


def pairwise_distances(texts: Sequence[str], language: str | None = None) -> Vector:
    """``d(s, t)``, ``[S, S]``: texts s in ``language`` as translations, texts t as references; 0 where they are the same."""
    distances = np.zeros((len(texts), len(texts)))
    ngrams = _ngrams(texts, language)
    for s, ours in enumerate(texts):
        for t in range(s):
            if ours != texts[t]:
                distances[s, t], distances[t, s] = _distances(ngrams[s], ngrams[t])
    return distances


def sentence_disagreement(hypotheses: Sequence[Hypothesis], header: Header) -> float:
    """The disagreement of a sentence's hypotheses with the weights that ``header`` names.

    Raises:
        UserError: there is one hypothesis per sentence, so that nothing can disagree.
    """
    return _disagreements(hypotheses, header)[1]


def with_disagreement(sentence: Sentence, header: Header) -> Sentence:
    """The sentence with the measure ``disagreement``, its own and that of its hypotheses.

    Raises:
        UserError: there is one hypothesis per sentence, so that nothing can disagree.
    """
    of_hypotheses, of_sentence = _disagreements(sentence.hypotheses, header)
    return replace(
        sentence,
        measures={**sentence.measures, NAME: of_sentence},
        hypotheses=tuple(
            replace(hypothesis, measures={**hypothesis.measures, NAME: value})
            for hypothesis, value in zip(sentence.hypotheses, of_hypotheses.tolist(), strict=True)
        ),
    )


def _disagreements(hypotheses: Sequence[Hypothesis], header: Header) -> tuple[Vector, float]:
    if header.nbest == 1:
        raise UserError(
            "The disagreement of hypotheses needs several of them, but there is one per sentence; "
            "translate with --nbest 5, say."
        )
    weights = hypothesis_weights(
        [hypothesis.log_probability for hypothesis in hypotheses], header.weighting, header.temperature
    )
    distances = pairwise_distances([hypothesis.text for hypothesis in hypotheses], header.target_lang)
    pairs = np.outer(weights, weights)
    np.fill_diagonal(pairs, 0.0)
    total = float(pairs.sum())
    return distances @ weights, float((pairs * distances).sum()) / total if total > 0 else 0.0


_Ngrams = tuple[Counter[tuple[str, ...]], int, list[int]]  # counts, words, n-grams of each order


def _ngrams(texts: Sequence[str], language: str | None) -> list[_Ngrams]:
    """The n-grams of every text by sacreBLEU's tokeniser: once for each, and not for each pair."""
    from sacrebleu.metrics.helpers import extract_all_word_ngrams

    tokenize = tokenizer(language)
    found = []
    for text in texts:
        counts, words = extract_all_word_ngrams(tokenize(text.rstrip()), 1, ORDER)
        found.append((counts, words, [max(words - n, 0) for n in range(ORDER)]))
    return found


def _distances(first: _Ngrams, second: _Ngrams) -> tuple[float, float]:
    """``1 - BLEU / 100`` of the first against the second, and the other way round; the matches are the same."""
    from sacrebleu.metrics import BLEU

    matches = [0] * ORDER
    for ngram, count in (first[0] & second[0]).items():
        matches[len(ngram) - 1] += count
    values = [
        BLEU.compute_bleu(
            list(matches), list(ours[2]), ours[1], theirs[1], smooth_method="exp", effective_order=True
        ).score
        for ours, theirs in ((first, second), (second, first))
    ]
    return 1.0 - values[0] / 100.0, 1.0 - values[1] / 100.0
