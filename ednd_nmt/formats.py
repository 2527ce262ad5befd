"""Output formats: one small class each, from a sentence's record to whole lines of text.

Register another with :func:`register_format`. Values have seven significant digits, as in the uncertainty file.

A sentence may have values that its hypotheses do not have: ``p_bad`` where a calibration was applied, and ``abstained``
(1 or 0) where abstention was asked for. Every format has a place for them; the translation itself is always there.
"""

from __future__ import annotations

import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from ednd_nmt.errors import UserError, nearest
from ednd_nmt.evaluation.aggregation import hypothesis_weights
from ednd_nmt.evaluation.calibration import COLUMN as P_BAD
from ednd_nmt.records import Header, Hypothesis, Sentence, header_to_json, measure_value, sentence_to_json

DEFAULT_MEASURE = "sTU"
"""Every kind of system has it, and of the quick start's measures it finds bad translations best."""


class OutputFormat(ABC):
    """How records become text.

    Args:
        header: what produced the records.
        measure: the sentence-level measure shown where there is room for one.
    """

    name: ClassVar[str]

    def __init__(self, header: Header, measure: str = DEFAULT_MEASURE) -> None:
        self.header = header
        self.measure = measure

    def head(self, first: Sentence | None) -> str:
        """Lines before the first sentence, which is None if there is none."""
        return ""

    @abstractmethod
    def sentence(self, sentence: Sentence) -> str:
        """The whole lines of one sentence, line ends included."""

    def uncertainty(self, sentence: Sentence) -> float:
        """The chosen measure of a sentence.

        Raises:
            UserError: the system does not have it; the nearest name is suggested.
        """
        return measure_value(sentence.measures, self.measure)


FORMATS: dict[str, type[OutputFormat]] = {}


def register_format(name: str) -> Callable[[type[OutputFormat]], type[OutputFormat]]:
    """Class decorator that makes an :class:`OutputFormat` known to ``--format`` by ``name``, also from a ``--user-dir``."""

    def register(kind: type[OutputFormat]) -> type[OutputFormat]:
        kind.name = name
        FORMATS[name] = kind
        return kind

    return register


def format_named(name: str) -> type[OutputFormat]:
    """The registered format called ``name``.

    Raises:
        UserError: there is none.
    """
    if name not in FORMATS:
        raise UserError(
            f"Unknown format {name!r}{nearest(name, FORMATS)}; choose one of: {', '.join(FORMATS)}."
        )
    return FORMATS[name]


@register_format("text")
class PlainText(OutputFormat):
    """``uncertainty<TAB>translation``, one line per sentence.

    Between the two stand, where they were asked for, ``p_bad``, and ``abstained`` or ``kept``.
    """

    def sentence(self, sentence: Sentence) -> str:
        columns = [f"{self.uncertainty(sentence):.4f}"]
        if self.measure != P_BAD:
            columns += [f"{value:.4f}" for value in _probability(sentence).values()]
        if sentence.abstained is not None:
            columns.append("abstained" if sentence.abstained else "kept")
        return "\t".join([*columns, _one_line(sentence.text)]) + "\n"


@register_format("jsonl")
class JsonLines(OutputFormat):
    """The uncertainty file itself (:mod:`ednd_nmt.records`): everything, read by every command of this package.

    ``p_bad`` is one of the sentence's measures, ``abstained`` true or false.
    """

    def head(self, first: Sentence | None) -> str:
        return header_to_json(self.header) + "\n"

    def sentence(self, sentence: Sentence) -> str:
        return sentence_to_json(sentence) + "\n"


@register_format("tsv")
class TabSeparated(OutputFormat):
    """Named columns, one row per hypothesis: id, rank, score, log_probability, its measures, source and translation.

    After the measures stand ``p_bad`` and ``abstained`` of the sentence, the same in all its rows.
    """

    def head(self, first: Sentence | None) -> str:
        if first is None:
            return ""
        names = [
            "id",
            "rank",
            "score",
            "log_probability",
            *first.hypotheses[0].measures,
            *_sentence_values(first),
            "source",
            "translation",
        ]
        return "\t".join(names) + "\n"

    def sentence(self, sentence: Sentence) -> str:
        rows = []
        for rank, hypothesis in enumerate(sentence.hypotheses, start=1):
            values = [
                hypothesis.score,
                hypothesis.log_probability,
                *hypothesis.measures.values(),
                *_sentence_values(sentence).values(),
            ]
            texts = [_one_line(sentence.source), _one_line(hypothesis.text)]
            rows.append("\t".join([str(sentence.id), str(rank), *map(_number, values), *texts]) + "\n")
        return "".join(rows)


@register_format("moses")
class MosesNbest(OutputFormat):
    """``id ||| translation ||| NAME= value ... ||| score``, the n-best lists of Moses.

    ``p_bad`` and ``abstained`` of the sentence are the last features of each of its hypotheses.
    """

    def sentence(self, sentence: Sentence) -> str:
        return "".join(
            f"{sentence.id} ||| {without_separator(_one_line(hypothesis.text))} ||| "
            f"{_features(hypothesis, sentence)} ||| "
            f"{_number(hypothesis.score)}\n"
            for hypothesis in sentence.hypotheses
        )


@register_format("shifts")
class ShiftsSubmission(OutputFormat):
    """JSON lines of the Shifts challenge (arXiv 2107.07455): id, uncertainty, and the hypotheses with confidences.

    The confidences sum to one over the n-best list, as :func:`~ednd_nmt.evaluation.aggregation.hypothesis_weights` says.
    ``p_bad`` and ``abstained`` (true or false) are further keys, which the challenge does not know.
    """

    def sentence(self, sentence: Sentence) -> str:
        weights = hypothesis_weights(
            [hypothesis.log_probability for hypothesis in sentence.hypotheses],
            self.header.weighting,
            self.header.temperature,
        )
        pairs = zip(sentence.hypotheses, weights.tolist(), strict=True)
        record: dict[str, Any] = {
            "id": sentence.id,
            "uncertainty": float(_number(self.uncertainty(sentence))),
            **{name: float(_number(value)) for name, value in _probability(sentence).items()},
            **({} if sentence.abstained is None else {"abstained": sentence.abstained}),
            "hypos": [{"text": h.text, "confidence": float(_number(weight))} for h, weight in pairs],
        }
        return json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"


@register_format("fairseq")
class FairseqText(OutputFormat):
    """fairseq's S, T, H, D and P lines (base-2 logarithms, as there), and ``U-<id>`` with named measures in nats.

    P holds the logarithms of the predictive probabilities, which the measures are about. ``p_bad`` and ``abstained`` of the
    sentence are the last values of its U lines.
    """

    def sentence(self, sentence: Sentence) -> str:
        number = sentence.id
        lines = [f"S-{number}\t{_one_line(sentence.source)}"]
        if sentence.reference is not None:
            lines.append(f"T-{number}\t{_one_line(sentence.reference)}")
        for hypothesis in sentence.hypotheses:
            score = _number(hypothesis.score / math.log(2))
            values = {**hypothesis.measures, **_sentence_values(sentence)}
            logs = hypothesis.token_measures.get("log_probability", ())
            lines += [
                f"H-{number}\t{score}\t{_one_line(' '.join(hypothesis.tokens[:-1]))}",
                f"D-{number}\t{score}\t{_one_line(hypothesis.text)}",
                f"P-{number}\t{' '.join(f'{value / math.log(2):.4f}' for value in logs)}",
                f"U-{number}\t" + " ".join(f"{k}={_number(v)}" for k, v in values.items()),
            ]
        return "\n".join(lines) + "\n"


def _features(hypothesis: Hypothesis, sentence: Sentence) -> str:
    values = {**hypothesis.measures, **_sentence_values(sentence)}
    return " ".join(f"{name}= {_number(value)}" for name, value in values.items())


def _probability(sentence: Sentence) -> dict[str, float]:
    """``p_bad``, where a calibration was applied."""
    return {P_BAD: sentence.measures[P_BAD]} if P_BAD in sentence.measures else {}


def _sentence_values(sentence: Sentence) -> dict[str, float]:
    """``p_bad``, and 1 or 0 for ``abstained``, where they were asked for."""
    abstained = {} if sentence.abstained is None else {"abstained": float(sentence.abstained)}
    return _probability(sentence) | abstained


def without_separator(text: str) -> str:
    """Text that the ``|||`` of Moses cannot be found in: blanks come between its bars."""
    return re.sub(r"\|{3,}", lambda bars: " ".join(bars[0]), text)


def _number(value: float) -> str:
    return f"{value:.7g}"


def _one_line(text: str) -> str:
    """Text without what would end a line or a column."""
    return text.replace("\t", " ").replace("\r", " ").replace("\n", " ")
