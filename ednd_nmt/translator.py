"""Raw text in, translations with uncertainty out: the Python interface, on which the commands stand."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import math
import os
import warnings
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, overload

import torch

from ednd_nmt.errors import UserError
from ednd_nmt.evaluation.aggregation import sentence_measures
from ednd_nmt.model_folder import ModelFolder, read_model_folders
from ednd_nmt.records import Header, Hypothesis, Sentence
from ednd_nmt.text_preparation import TextPreparation


@dataclass(frozen=True)
class SearchOptions:
    """Options of the search, under fairseq's names, and of its batches."""

    beam: int = 5
    nbest: int = 1
    max_len_a: float = 1.5  # a translation has at most a * source + b pieces
    max_len_b: int = 10
    lenpen: float = 1.0
    max_tokens: int = 4000  # source pieces of a batch
    batch_size: int | None = None  # sentences of a batch at most
    weighting: str = "posterior"  # of the n-best list in a sentence's measures
    temperature: float = 1.0  # of the posterior weighting

    def __post_init__(self) -> None:
        if self.beam < 1 or not 1 <= self.nbest <= self.beam:
            raise UserError(
                f"beam {self.beam} and nbest {self.nbest} do not go together; choose 1 <= nbest <= beam."
            )
        if not (
            0 <= self.max_len_a < math.inf
            and self.max_len_b >= 0
            and 2 * self.max_len_a + self.max_len_b >= 1
        ):
            raise UserError(
                f"max_len_a {self.max_len_a} and max_len_b {self.max_len_b} leave no room for a translation; "
                "choose numbers from 0, as in 1.5 and 10."
            )
        if not math.isfinite(self.lenpen):
            raise UserError(f"The length penalty must be a finite number, not {self.lenpen}.")
        if self.max_tokens < 1 or (self.batch_size is not None and self.batch_size < 1):
            raise UserError("A batch needs room for something: max_tokens and batch_size must be at least 1.")


DEFAULTS = SearchOptions()
WARNINGS_ABOUT_FAIRSEQ = (
    "'pin_memory' argument is set as true but no accelerator is found",
    "Support for mismatched key_padding_mask and attn_mask is deprecated",
    "The PyTorch API of nested tensors is in prototype stage",
)
"""What torch tells fairseq on every run, and the user can do nothing about: beginnings of the messages."""


class DirichletTransformer:
    """A student in its model folder; an ensemble of plain models, or a single one, has the same interface.

    >>> model = DirichletTransformer.from_pretrained("runs/quick/student")  # doctest: +SKIP
    >>> model.translate(["Click the button."], uncertainty=True)[0].measures["EPKL"]  # doctest: +SKIP
    """

    def __init__(
        self,
        folders: Sequence[ModelFolder],
        device: str = "cpu",
        decoding: str = "mode",
        combination: str = "pe",
    ) -> None:
        _leave_fairseqs_news_out()
        from fairseq import checkpoint_utils, utils
        from fairseq.data import Dictionary

        import ednd_nmt  # noqa: F401 - registers with fairseq
        from ednd_nmt.safe_weights import read_state
        from ednd_nmt.system import System
        from ednd_nmt.tasks.distillation import DistillationConfig, DistillationTask

        self._folders = folders
        first = folders[0]
        languages = (first.preparation.source_lang, first.preparation.target_lang)
        config = DistillationConfig(
            data=str(first.path),
            source_lang=languages[0],
            target_lang=languages[1],
            dirichlet_decoding=decoding,
            ensemble_combination=combination,
        )
        config.fp16, config.cpu, config.post_process = False, device == "cpu", None
        dictionaries = []
        for path in map(first.dictionary, languages):
            with _fault_of(path, "is no dictionary of fairseq"):
                dictionaries.append(Dictionary.load(str(path)))
        self._task: Any = DistillationTask(config, *dictionaries)
        self._device = _device(device)
        paths = [str(folder.checkpoint) for folder in folders]
        with _fault_of(":".join(paths), "cannot be loaded with the dictionaries beside it"):
            self._models = [
                model
                for path in paths
                for model in checkpoint_utils.load_model_ensemble(
                    [path], task=self._task, state=read_state(path)
                )[0]
            ]
        for model in self._models:
            model.make_generation_fast_(beamable_mm_beam_size=None, need_attn=False)
            model.to(self._device).eval()
        self._system = System.of_models(self._models, None, decoding, combination)
        self._text = TextPreparation(first)
        self._positions = utils.resolve_max_positions(
            self._task.max_positions(), *[model.max_positions() for model in self._models]
        )
        self._template: Hypothesis | None = None

    @classmethod
    def from_pretrained(
        cls,
        model: str | os.PathLike[str],
        device: str = "cpu",
        decoding: str = "mode",
        combination: str = "pe",
    ) -> DirichletTransformer:
        """Load a model folder, a checkpoint in one, or several of them separated by ``:`` (an ensemble).

        Args:
            model: the folders.
            device: ``cpu``, ``cuda`` or ``cuda:N``.
            decoding: search with the ``mode`` or the ``mean`` of a student's Dirichlet.
            combination: of several models, ``pe`` (product of expectations) or ``ep`` (expectation of products); see
                :mod:`ednd_nmt.predictive`.

        Raises:
            UserError: no such folder, or one of its files is missing or faulty; no such device; students are mixed with
                other models; a ``combination`` of a single model.
        """
        from ednd_nmt.fairseq_commands import require_fairseq

        folders = read_model_folders(model)
        require_fairseq()
        return cls(folders, device, decoding, combination)

    @overload
    def translate(
        self, sentences: Sequence[str], *, uncertainty: Literal[False] = ..., **options: Any
    ) -> list[str]: ...
    @overload
    def translate(
        self, sentences: Sequence[str], *, uncertainty: Literal[True], **options: Any
    ) -> list[Sentence]: ...
    def translate(
        self, sentences: Sequence[str], *, uncertainty: bool = False, **options: Any
    ) -> list[str] | list[Sentence]:
        """Translate raw text: strings, or with ``uncertainty=True`` :class:`~ednd_nmt.records.Sentence` objects.

        Args:
            sentences: one sentence per entry; an empty one has an empty translation, certain by definition.
            options: those of :class:`SearchOptions`.

        Raises:
            UserError: a sentence has more pieces than the model has positions.
        """
        found = list(self.translate_lines(sentences, SearchOptions(**options)))
        return found if uncertainty else [sentence.text for sentence in found]

    def translate_lines(
        self, lines: Iterable[str], options: SearchOptions = DEFAULTS, buffer: int = 1000, first: int = 0
    ) -> Iterator[Sentence]:
        """Translate a stream in the input's order; memory holds ``buffer`` lines, which are batched by length."""
        generator, _ = self._task.build_recording_generator(
            self._models,
            Namespace(
                beam=options.beam, nbest=options.nbest, max_len_a=options.max_len_a, max_len_b=options.max_len_b,
                lenpen=options.lenpen,
            ),
        )  # fmt: skip
        iterator, start = iter(lines), first
        while chunk := list(itertools.islice(iterator, buffer)):
            sources = self._numbers(
                chunk, start, self._text.source_pieces, self._task.source_dictionary, "source"
            )
            present = [place for place, tokens in enumerate(sources) if len(tokens) > 1]
            data = self._task.build_dataset_for_inference(
                [sources[place] for place in present], [len(sources[place]) for place in present]
            )
            hypotheses = self._run(generator, data, options) if present else {}
            found = {place: hypotheses[row][: options.nbest] for row, place in enumerate(present)}
            for place, source in enumerate(chunk):
                yield self._sentence(start + place, source, found.get(place), options)
            start += len(chunk)

    def score(self, sources: Sequence[str], targets: Sequence[str], **options: Any) -> list[Sentence]:
        """The model's measures of given translations, one hypothesis each, as if its search had chosen them.

        Raises:
            UserError: unequal lengths, or a text has more pieces than the model has positions.
        """
        if len(sources) != len(targets):
            raise UserError(
                f"There are {len(sources)} sources and {len(targets)} translations; every source needs exactly one."
            )
        pairs = zip(sources, targets, strict=True)
        return list(self.score_lines(pairs, replace(DEFAULTS, **options)))

    def score_lines(
        self,
        pairs: Iterable[tuple[str, str]],
        options: SearchOptions = DEFAULTS,
        buffer: int = 1000,
        first: int = 0,
    ) -> Iterator[Sentence]:
        """Score a stream of (source, translation) in the input's order."""
        from ednd_nmt.scoring import UncertaintyScorer, pair_dataset

        scorer = UncertaintyScorer.of_settings(self._task.target_dictionary, self._system, options)
        iterator, start = iter(pairs), first
        while chunk := list(itertools.islice(iterator, buffer)):
            task, texts = self._task, self._text
            sources = self._numbers(
                [pair[0] for pair in chunk], start, texts.source_pieces, task.source_dictionary, "source"
            )
            targets = self._numbers(
                [pair[1] for pair in chunk], start, texts.target_pieces, task.target_dictionary, "translation"
            )
            hypotheses = self._run(scorer, pair_dataset(task, sources, targets), options)
            for place, (source, target) in enumerate(chunk):
                (hypothesis,) = hypotheses[place]
                given = [replace(hypothesis, text=target)]  # as it was given, not as its pieces read
                yield self._sentence(start + place, source, given, options)
            start += len(chunk)

    def header(self, options: SearchOptions = DEFAULTS, scoring: bool = False) -> Header:
        """What produced the records: the first line of an uncertainty file."""
        from ednd_nmt.generation_records import versions

        return Header(
            system=self._system.kind,
            members=self._system.members,
            beam=None if scoring else options.beam,
            nbest=1 if scoring else options.nbest,
            combination=self._system.combination,
            offset=self._system.settings.offset if self._system.settings is not None else None,
            decoding=self._system.decoding,
            source_lang=self._task.cfg.source_lang,
            target_lang=self._task.cfg.target_lang,
            weighting=options.weighting,
            temperature=options.temperature,
            versions=versions(),
        )

    def digest(self) -> str:
        """SHA-256 over the contents of the model folders; those with the same one translate alike."""
        digest = hashlib.sha256()
        for folder in self._folders:
            digest.update(folder.digest())
        return digest.hexdigest()

    def _numbers(
        self, lines: Sequence[str], start: int, cut: Any, dictionary: Any, what: str
    ) -> list[torch.Tensor]:
        """Token numbers with EOS of every line."""
        limit = self._positions[0 if what == "source" else 1]
        result = []
        for number, line in enumerate(lines, start=start + 1):
            tokens = dictionary.encode_line(cut(line), add_if_not_exist=False).long()
            if len(tokens) > limit:
                raise UserError(
                    f"The {what} in line {number} has {len(tokens):,} pieces, more than the model's {limit:,} positions; "
                    "split the line into sentences."
                )
            result.append(tokens)
        return result

    def _run(self, generator: Any, data: Any, options: SearchOptions) -> dict[int, list[Hypothesis]]:
        with warnings.catch_warnings():
            for message in WARNINGS_ABOUT_FAIRSEQ:
                warnings.filterwarnings("ignore", message)
            return self._batched(generator, data, options)

    def _batched(self, generator: Any, data: Any, options: SearchOptions) -> dict[int, list[Hypothesis]]:
        from fairseq import utils

        from ednd_nmt.generation_records import hypothesis_record, pieces_of

        batches = self._task.get_batch_iterator(
            data,
            # a sentence longer than max_tokens is a batch of its own, as long as the model has positions for it
            max_tokens=max(options.max_tokens, int(data.sizes.max())),
            max_sentences=options.batch_size,
            max_positions=None,
            required_batch_size_multiple=1,
            disable_iterator_cache=True,  # else fairseq would keep the data of all calls
        ).next_epoch_itr(shuffle=False)
        dictionary = self._task.target_dictionary
        result: dict[int, list[Hypothesis]] = {}
        for sample in batches:
            if self._device.type == "cuda":
                sample = utils.move_to_cuda(sample, self._device)
            with torch.no_grad():
                found = generator.generate(self._models, sample)
            for row, index in enumerate(sample["id"].tolist()):
                result[index] = [
                    hypothesis_record(
                        hypothesis,
                        dictionary,
                        self._text.text(" ".join(pieces_of(hypothesis["tokens"], dictionary))),
                    )
                    for hypothesis in found[row]
                ]
        return result

    def _sentence(
        self, number: int, source: str, found: Sequence[Hypothesis] | None, options: SearchOptions
    ) -> Sentence:
        hypotheses = tuple(found) if found is not None else (self._empty(),)
        measures = sentence_measures(hypotheses, options.weighting, options.temperature)
        return Sentence(id=number, source=source, hypotheses=hypotheses, measures=measures)

    def _empty(self) -> Hypothesis:
        """The translation of an empty line: empty, and certain by definition (every measure 0)."""
        if self._template is None:
            self._template = next(iter(self.translate_lines(["."], SearchOptions(beam=1)))).hypotheses[0]
        certain = dict.fromkeys(self._template.token_measures, (0.0,))
        if "precision" in certain:
            certain["precision"] = (float(torch.finfo(torch.float32).max),)
        return Hypothesis("", ("</s>",), 0.0, 0.0, dict.fromkeys(self._template.measures, 0.0), certain)


def _leave_fairseqs_news_out() -> None:
    """fairseq tells of every iterator that it makes; its warnings pass, and a level that the user has set stays."""
    logger = logging.getLogger("fairseq")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.WARNING)


@contextlib.contextmanager
def _fault_of(path: str | os.PathLike[str], what: str) -> Iterator[None]:
    """Say in one sentence what is wrong with a file of a model folder: its readers raise whatever they run into."""
    try:
        yield
    except (UserError, OSError, MemoryError):
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".:") or type(error).__name__
        raise UserError(
            f"{path} {what} ({reason}); make the model folder again with ednd-nmt pack."
        ) from error


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"Unknown device {name!r}; give cpu, cuda or cuda:N.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"The device {name} is not there; leave --device out to translate on the processor.")
    return device
