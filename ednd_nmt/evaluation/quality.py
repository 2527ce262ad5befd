"""Quality of translations, per sentence and per corpus, through sacreBLEU's own objects, or COMET's package.

With a metric of sacreBLEU, a sentence's score is computed from its sufficient statistics (n-gram matches,
edits, ...), a corpus score from their sum; sentence BLEU uses effective order and sacreBLEU's default
exponential smoothing. Scores are in percent; an *error* is ``100 - score``, or the score itself for TER.

The empty translation of an empty reference is right: its error is 0, whatever sacreBLEU's metric. Without words to match,
BLEU, chrF and GLEU of it would be 0 and count as a total error, although no translation is surer. Corpus scores
are sacreBLEU's.
"""

from __future__ import annotations

import functools
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ednd_nmt.errors import UserError

Array = npt.NDArray[np.float64]


class SentenceMetric(ABC):
    """A quality of single sentences.

    Args:
        name: how the figure is called in tables and signatures.
        higher_is_better: False for an error rate.
    """

    def __init__(self, name: str, higher_is_better: bool = True) -> None:
        self.name = name
        self.higher_is_better = higher_is_better

    @property
    @abstractmethod
    def signature(self) -> str:
        """Every choice that changes a score, ``name:value|name:value``."""

    @abstractmethod
    def sentence_scores(
        self, hypotheses: Sequence[str], references: Sequence[str], sources: Sequence[str] | None = None
    ) -> Array:
        """Score ``[n]`` of every sentence, percent; few metrics look at the sources.

        Raises:
            UserError: not as many references as hypotheses, or none at all.
        """

    def sentence_errors(
        self, hypotheses: Sequence[str], references: Sequence[str], sources: Sequence[str] | None = None
    ) -> Array:
        """Error ``[n]`` of every sentence: larger = worse."""
        scores = self.sentence_scores(hypotheses, references, sources)
        return 100.0 - scores if self.higher_is_better else scores


class SacreBleuMetric(SentenceMetric):
    """One of sacreBLEU's metrics as sentence scores and sums of statistics.

    The sentence scores are sacreBLEU's but where translation and reference are both empty, or blank: there the score is the
    best, 100 or, of an error rate, 0.

    Args:
        name: as of :class:`SentenceMetric`.
        metric: a sacreBLEU ``Metric``.
        higher_is_better: False for an error rate.
    """

    def __init__(self, name: str, metric: Any, higher_is_better: bool = True) -> None:
        super().__init__(name, higher_is_better)
        self._metric = metric

    @property
    def signature(self) -> str:
        """sacreBLEU's signature for one reference."""
        self._metric.num_refs = 1
        return str(self._metric.get_signature().format())

    def statistics(self, hypotheses: Sequence[str], references: Sequence[str]) -> Array:
        """Sufficient statistics ``[n, k]``.

        Raises:
            UserError: not as many references as hypotheses, or none at all.
        """
        check_lengths(hypotheses, references)
        # What sacreBLEU's own significance tests work with; checked against its public scores in the tests.
        return np.array(self._metric._extract_corpus_statistics(hypotheses, [references]), dtype=np.float64)

    def score(self, statistics: list[float]) -> float:
        """The score in percent from statistics ``[k]``, of one sentence or summed over many."""
        return float(self._metric._compute_score_from_stats(statistics).score)

    def sentence_scores(
        self, hypotheses: Sequence[str], references: Sequence[str], sources: Sequence[str] | None = None
    ) -> Array:
        scores = np.array([self.score(row.tolist()) for row in self.statistics(hypotheses, references)])
        pairs = zip(hypotheses, references, strict=True)
        nothing = [not (hypothesis.strip() or reference.strip()) for hypothesis, reference in pairs]
        scores[nothing] = 100.0 if self.higher_is_better else 0.0
        return scores


class Gleu(SacreBleuMetric):
    """GLEU (arXiv 1609.08144): n-gram matches over the larger of the two sides' n-gram counts, orders 1 to 4.

    Tokens are those of sacreBLEU's tokeniser for the target language.
    """

    def __init__(self, language: str | None = None) -> None:
        super().__init__("GLEU", None)
        self._name = tokenizer_of(language)
        self._tokenize = tokenizer(language)

    @property
    def signature(self) -> str:
        import sacrebleu

        return f"nrefs:1|case:mixed|tok:{self._name}|order:4|version:{sacrebleu.__version__}"

    def statistics(self, hypotheses: Sequence[str], references: Sequence[str]) -> Array:
        check_lengths(hypotheses, references)
        pairs = zip(hypotheses, references, strict=True)
        return np.array([self._matches(hypothesis, reference) for hypothesis, reference in pairs])

    def score(self, statistics: list[float]) -> float:
        matches, longest = statistics
        return 100.0 * matches / longest if longest else 0.0

    def _matches(self, hypothesis: str, reference: str) -> tuple[float, float]:
        ours, theirs = (_ngrams(self._tokenize(text).split()) for text in (hypothesis, reference))
        return float((ours & theirs).total()), float(max(ours.total(), theirs.total()))


TOKENIZERS = {"zh": "zh", "ja": "ja-mecab", "ko": "ko-mecab"}
"""Languages for which sacreBLEU has another tokeniser than 13a, and its name."""


def tokenizer_of(language: str | None) -> str:
    """The name of sacreBLEU's tokeniser for a target language such as ``zh`` or ``zh_CN``; 13a for an unknown one."""
    return TOKENIZERS.get(re.split("[-_]", language or "")[0].lower(), "13a")


@functools.cache
def tokenizer(language: str | None) -> Callable[[str], str]:
    """sacreBLEU's tokeniser for a target language: a text with spaces between its tokens.

    Raises:
        UserError: its package is missing.
    """
    found: Callable[[str], str] = _bleu(language).tokenizer
    return found


def _bleu(language: str | None, **options: Any) -> Any:
    """sacreBLEU's BLEU for a target language.

    Raises:
        UserError: its tokeniser needs a package that is missing.
    """
    from sacrebleu.metrics import BLEU

    name = tokenizer_of(language)
    try:
        return BLEU(tokenize=name, **options)
    except (ImportError, RuntimeError) as error:
        raise UserError(
            f"BLEU of {language} needs sacreBLEU's tokeniser {name}, whose package is missing; "
            f"pip install 'sacrebleu[{name.partition('-')[0]}]'."
        ) from error


QUALITY_METRICS = ("bleu", "chrf", "ter", "gleu", "comet")
MODEL_SEPARATOR = ":"  # between "comet" and its model


def sentence_metric(name: str, language: str | None = None) -> SentenceMetric:
    """The metric for sentence scores by its name in ``QUALITY_METRICS``; ``comet:MODEL`` names COMET's model, too.

    Args:
        name: of the metric.
        language: the target language, by which BLEU, GLEU and TER cut their words (:func:`tokenizer_of`).

    Raises:
        UserError: an unknown name, or the language's tokeniser is not installed.
    """
    from sacrebleu.metrics import CHRF, TER

    from ednd_nmt.evaluation.comet import Comet

    check_metric_name(name)
    kind, _, model = name.partition(MODEL_SEPARATOR)
    makers: dict[str, Callable[[], SentenceMetric]] = {
        "bleu": lambda: SacreBleuMetric("sentence BLEU", _bleu(language, effective_order=True)),
        "chrf": lambda: SacreBleuMetric("chrF", CHRF()),
        "ter": lambda: SacreBleuMetric("TER", TER(**_ter_options(language)), higher_is_better=False),
        "gleu": lambda: Gleu(language),
        "comet": lambda: Comet(model) if model else Comet(),
    }
    return makers[kind]()


def check_metric(name: str) -> None:
    """Refuse, before anything long is begun, a name that is not known or COMET where its package is missing."""
    from ednd_nmt.evaluation.comet import check_installed

    check_metric_name(name)
    if name.partition(MODEL_SEPARATOR)[0] == "comet":
        check_installed()


def check_metric_name(name: str) -> None:
    """Refuse a name that :func:`sentence_metric` does not know."""
    kind, separator, _ = name.partition(MODEL_SEPARATOR)
    if kind not in QUALITY_METRICS or (separator and kind != "comet"):
        raise UserError(
            f"Unknown quality metric {name!r}; choose one of {', '.join(QUALITY_METRICS)} (or comet:MODEL)."
        )


def corpus_metrics(language: str | None = None) -> list[SacreBleuMetric]:
    """Corpus BLEU and chrF with sacreBLEU's defaults for the target language.

    Raises:
        UserError: the language's tokeniser is not installed.
    """
    from sacrebleu.metrics import CHRF

    return [SacreBleuMetric("BLEU", _bleu(language, force=True)), SacreBleuMetric("chrF", CHRF())]


def _ter_options(language: str | None) -> dict[str, bool]:
    """TER's own cutting of Chinese and Japanese characters, which works with its normalisation alone."""
    return {} if tokenizer_of(language) == "13a" else {"normalized": True, "asian_support": True}


def _ngrams(tokens: list[str]) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[i : i + n]) for n in range(1, 5) for i in range(len(tokens) - n + 1))


def check_lengths(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    if len(hypotheses) != len(references) or not hypotheses:
        raise UserError(
            f"{len(hypotheses)} translations and {len(references)} references: "
            "quality needs at least one translation and one reference for each."
        )
