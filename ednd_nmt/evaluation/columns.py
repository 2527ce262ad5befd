"""One uncertainty file as columns: what evaluation needs of it, without the token-level lists."""

from __future__ import annotations

import os
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ednd_nmt.errors import UserError
from ednd_nmt.evaluation.aggregation import sentence_measures
from ednd_nmt.evaluation.arrays import Vector
from ednd_nmt.evaluation.disagreement import NAME as DISAGREEMENT
from ednd_nmt.evaluation.disagreement import sentence_disagreement
from ednd_nmt.evaluation.quality import tokenizer_of
from ednd_nmt.record_reader import read_records
from ednd_nmt.records import Header, Sentence


@dataclass(frozen=True)
class Aggregation:
    """How sentence-level measures are made from the hypotheses; None keeps what the file says."""

    weighting: str | None = None
    temperature: float | None = None
    nbest: int | None = None
    disagreement: bool = False  # also how much the hypotheses disagree, where there are several

    @property
    def as_written(self) -> bool:
        return replace(self, disagreement=False) == Aggregation()

    def applied(self, header: Header) -> Header:
        """The header with the choices made here, for signatures."""
        return replace(
            header,
            weighting=self.weighting or header.weighting,
            temperature=header.temperature if self.temperature is None else self.temperature,
            nbest=min(self.nbest or header.nbest, header.nbest),
        )

    def measures(self, sentence: Sentence, header: Header) -> Mapping[str, float]:
        """The sentence's measures: as written, or aggregated anew with the choices in ``header``."""
        hypotheses = sentence.hypotheses[: header.nbest]
        measures = sentence.measures
        wanted = self.disagreement
        if not self.as_written:
            measures = sentence_measures(hypotheses, header.weighting, header.temperature)
            wanted |= DISAGREEMENT in sentence.measures
        if wanted and header.nbest > 1:
            measures = {**measures, DISAGREEMENT: sentence_disagreement(hypotheses, header)}
        return measures


@dataclass(frozen=True)
class Columns:
    """One system's translations of one set: n sentences, every list and vector of length n."""

    path: Path
    header: Header
    ids: list[int]
    sources: list[str]
    translations: list[str]  # the best hypothesis of each sentence
    references: list[str] | None
    measures: dict[str, Vector]

    def __len__(self) -> int:
        return len(self.ids)


AS_WRITTEN = Aggregation()


def read_columns(path: str | os.PathLike[str], aggregation: Aggregation = AS_WRITTEN) -> Columns:
    """Read an uncertainty file.

    Raises:
        UserError: a faulty line (see :func:`ednd_nmt.record_reader.read_records`), no sentence at all, or
            references for some of the sentences only.
    """
    header, sentences = read_records(path)
    header = aggregation.applied(header)
    ids, sources, translations, references = [], [], [], []
    measures: dict[str, array[float]] = {}  # every sentence has the same ones
    for sentence in sentences:
        ids.append(sentence.id)
        sources.append(sentence.source)
        translations.append(sentence.hypotheses[0].text)
        if sentence.reference is not None:
            references.append(sentence.reference)
        for name, value in aggregation.measures(sentence, header).items():
            measures.setdefault(name, array("d")).append(value)
    if not ids:
        raise UserError(f"{path} holds no sentences; was the translation interrupted?")
    if references and len(references) != len(ids):
        raise UserError(
            f"{path} has references for {len(references)} of {len(ids)} sentences; give all or none."
        )
    vectors = {name: np.array(values) for name, values in measures.items()}
    return Columns(Path(path), header, ids, sources, translations, references or None, vectors)


def check_same_sentences(first: Columns, second: Columns) -> None:
    """Two systems can be compared only on the same sentences.

    Raises:
        UserError: ids, sources or references differ, and the message names both files and the first difference; or their
            target languages do, so that their BLEU would be of other words.
    """
    files = f"{first.path} and {second.path}"
    if first.ids != second.ids:
        differing = sorted(set(first.ids) ^ set(second.ids))
        raise UserError(
            f"{files} do not hold the same sentences: id {differing[0]} is in one of them only "
            f"({len(first)} and {len(second)} sentences); translate the same input with both systems."
        )
    for what, ours, theirs in (
        ("source", first.sources, second.sources),
        ("reference", first.references, second.references),
    ):
        if ours is None or theirs is None:
            if ours is not theirs:
                raise UserError(
                    f"Only one of {files} has references; give them to both systems or to neither."
                )
        elif ours != theirs:
            identifier = next(i for i, a, b in zip(first.ids, ours, theirs, strict=True) if a != b)
            raise UserError(
                f"{files} differ in the {what} of sentence {identifier}; "
                "translate the same input with both systems."
            )
    languages = [columns.header.target_lang for columns in (first, second)]
    if first.references is not None and len(set(map(tokenizer_of, languages))) > 1:
        raise UserError(
            f"{files} name the target languages {languages[0]} and {languages[1]}, whose words sacreBLEU cuts differently, "
            "so that their quality cannot be compared; name the same language in both headers."
        )
