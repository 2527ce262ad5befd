"""Which tokens of a translation are wrong, and does the uncertainty of a token tell?

A word of the best hypothesis is wrong when the cheapest word-level edits (no shifts) that turn its text into the
reference replace or delete it, as the word labels of the WMT quality estimation tasks are made. Both are split at
blanks, and a piece is wrong where a word of the text is that has characters of it: the text may be detokenised, the
pieces are not. Words of Chinese, Japanese and Korean are the tokens of sacreBLEU's tokeniser for the language
(:data:`~ednd_nmt.evaluation.quality.TOKENIZERS`), in Chinese the single characters. Other text without blanks, as in Thai,
is one word, so that it needs labels of the user's own.

The user's own labels are of the words that the system writes, those that its pieces make up: of tokenised text the
tokens, as in the WMT tasks, otherwise the words of the text. Every piece of a word has the word's label. The end of the
sentence is not a word and has none.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ednd_nmt.errors import UserError
from ednd_nmt.evaluation.arrays import Vector
from ednd_nmt.evaluation.ordering import Counts
from ednd_nmt.evaluation.quality import TOKENIZERS, tokenizer, tokenizer_of
from ednd_nmt.evaluation.resampling import Figures, ShiftDetection
from ednd_nmt.evaluation.words import word_groups, words_of_pieces
from ednd_nmt.record_reader import read_records
from ednd_nmt.records import Sentence
from ednd_nmt.text_input import read_lines

EOS = "</s>"
LABELS = {"OK": False, "BAD": True}


@dataclass(frozen=True)
class TokenColumns:
    """The labelled tokens of all best hypotheses, one after the other; every array has one entry per token."""

    sentence: npt.NDArray[np.intp]  # position of the sentence in the file
    wrong: npt.NDArray[np.bool_]
    measures: dict[str, Vector]  # larger = less sure


class TokenDetection:
    """Average precision and ROC-AUC, in percent, of finding wrong tokens; sentences are what is resampled.

    Args:
        tokens: the labelled tokens.
        measure: a name in ``tokens.measures``.
    """

    def __init__(self, tokens: TokenColumns, measure: str) -> None:
        values = tokens.measures[measure]
        self._right, self._wrong = tokens.sentence[~tokens.wrong], tokens.sentence[tokens.wrong]
        self._detection = ShiftDetection(values[~tokens.wrong], values[tokens.wrong])

    def __call__(self, counts: Counts) -> Figures:
        """Both figures for every row of sentence counts ``[resamples, n]``."""
        figures = self._detection(counts[:, self._right], counts[:, self._wrong])
        return {"token AP": figures["AUPR"], "token ROC-AUC": figures["ROC-AUC"]}


def read_tokens(
    path: str | os.PathLike[str], word_labels: str | os.PathLike[str] | None = None
) -> TokenColumns:
    """The tokens of an uncertainty file with their labels.

    Args:
        path: uncertainty file; needs references unless labels are given. Words are cut as its target language asks for.
        word_labels: one line per sentence of the file, ``OK`` or ``BAD`` for each of the n words that the pieces of
            its best hypothesis make up; or 2n + 1 of them as in the WMT tasks of 2018 to 2020, where the labels of the gaps
            before, between and after the words, which are no tokens, are left out.

    Raises:
        UserError: faulty files, labels that do not fit the words, no references and no labels, or the package of the
            target language's tokeniser is missing.
    """
    lines = None if word_labels is None else read_word_labels(word_labels)
    header, records = read_records(path)
    sentence, wrong = [], []
    columns: dict[str, list[float]] = {}
    position = -1
    for position, record in enumerate(records):
        if lines is not None and position >= len(lines):
            raise UserError(f"{word_labels} has {len(lines)} lines, fewer than {path} has sentences.")
        words = None if lines is None else lines[position]
        labels = token_labels(record, words, path, header.target_lang)
        kept = [i for i, label in enumerate(labels) if label is not None]
        sentence += [position] * len(kept)
        wrong += [bool(labels[i]) for i in kept]
        for name, values in _unsure(record).items():
            columns.setdefault(name, []).extend(values[i] for i in kept)
    if lines is not None and len(lines) != position + 1:
        raise UserError(f"{word_labels} has {len(lines)} lines for the {position + 1} sentences of {path}.")
    measures = {name: np.array(values) for name, values in columns.items()}
    return TokenColumns(np.array(sentence, dtype=np.intp), np.array(wrong, dtype=bool), measures)


def token_labels(
    record: Sentence,
    words: Sequence[bool] | None,
    path: str | os.PathLike[str],
    language: str | None = None,
) -> list[bool | None]:
    """One label per token of the best hypothesis: True = wrong, None for the end of the sentence.

    Args:
        record: the sentence.
        words: labels of the user's own; None: by edits to the reference.
        path: of its file, for messages.
        language: the target language, by which the words of text and reference are cut.
    """
    best = record.hypotheses[0]
    pieces = best.tokens[:-1] if best.tokens[-1] == EOS else best.tokens
    own = (
        _labels_by_edits(pieces, best.text, record, path, language)
        if words is None
        else _given_labels(pieces, words, record, path)
    )
    return [*own, *[None] * (len(best.tokens) - len(pieces))]


def _labels_by_edits(
    pieces: Sequence[str], text: str, record: Sentence, path: str | os.PathLike[str], language: str | None
) -> list[bool]:
    if record.reference is None:
        raise UserError(f"{path} has no references; token errors need them or a file of word labels.")
    ours, theirs = (_words(of, language) for of in (text, record.reference))
    wrong = edit_labels(ours, theirs)
    # what is part of no word that the text has is as wrong as a word that is deleted
    places = words_of_pieces(pieces, " ".join(ours))
    return [not words or any(wrong[word] for word in words) for words in places]


def words_tokenizer(language: str | None) -> str | None:
    """The name of sacreBLEU's tokeniser that cuts the words of a target language; None if blanks do."""
    name = tokenizer_of(language)
    return name if name in TOKENIZERS.values() else None


def _words(text: str, language: str | None) -> list[str]:
    cut = text if words_tokenizer(language) is None else tokenizer(language)(text)
    return cut.split()


def _given_labels(
    pieces: Sequence[str], words: Sequence[bool], record: Sentence, path: str | os.PathLike[str]
) -> list[bool]:
    groups = word_groups(pieces)
    if len(words) == 2 * len(groups) + 1:
        words = words[1::2]
    if len(words) != len(groups):
        raise UserError(
            f"{len(words)} word labels for the {len(groups)} words of sentence {record.id} in {path}; label the words that "
            "the pieces of the best hypothesis make up (tokens, if the system writes tokenised text), with or without the "
            "gaps around them."
        )
    return [label for group, label in zip(groups, words, strict=True) for _ in group]


def edit_labels(hypothesis: Sequence[str], reference: Sequence[str]) -> list[bool]:
    """For each hypothesis word, whether the cheapest edits to the reference replace or delete it; O(n m).

    Of equally cheap edits, those that keep the last words are taken.
    """
    n, m = len(hypothesis), len(reference)
    cost = np.zeros((n + 1, m + 1), dtype=np.int32)
    cost[:, 0], cost[0] = np.arange(n + 1), np.arange(m + 1)
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            replaced = cost[i - 1, j - 1] + (hypothesis[i - 1] != reference[j - 1])
            cost[i, j] = min(replaced, cost[i - 1, j] + 1, cost[i, j - 1] + 1)
    wrong = [True] * n
    i, j = n, m
    while i and j:
        same = hypothesis[i - 1] == reference[j - 1]
        if cost[i, j] == cost[i - 1, j - 1] + (not same):
            wrong[i - 1] = not same
            i, j = i - 1, j - 1
        elif cost[i, j] == cost[i - 1, j] + 1:
            i -= 1
        else:
            j -= 1
    return wrong


def read_word_labels(path: str | os.PathLike[str]) -> list[list[bool]]:
    """Read word labels in the format of the WMT quality estimation tasks: ``OK BAD OK`` per line, gaps included.

    Raises:
        UserError: the file cannot be read or is not UTF-8, or another word than OK and BAD.
    """
    lines = [line.split() for line in read_lines(path)]
    for number, line in enumerate(lines, start=1):
        unknown = [label for label in line if label not in LABELS]
        if unknown:
            raise UserError(f"{path}, line {number}: {unknown[0]!r} is neither OK nor BAD.")
    return [[LABELS[label] for label in line] for line in lines]


def _unsure(record: Sentence) -> dict[str, Sequence[float]]:
    """Token measures of which larger is less sure; the log-probability becomes sTU, the precision adds nothing to EPKL."""
    measures: dict[str, Sequence[float]] = dict(record.hypotheses[0].token_measures)
    measures.pop("precision", None)
    if "log_probability" in measures:
        measures["sTU"] = [-value for value in measures.pop("log_probability")]
    return measures
