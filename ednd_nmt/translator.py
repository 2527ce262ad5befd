"""Raw text in, translations with uncertainty out: the Python interface, on which the commands stand."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, overload

import torch

from ednd_nmt.errors import UserError
from ednd_nmt.evaluation.aggregation import sentence_measures
from ednd_nmt.measures import MEASURES
from ednd_nmt.model_folder import ModelFolder, read_model_folders
from ednd_nmt.records import Header, Hypothesis, Sentence
from ednd_nmt.search_options import DEFAULTS, SearchOptions
from ednd_nmt.text_preparation import TextPreparation

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
        uncertainty_offset: float | None = None,
    ) -> None:
        leave_fairseqs_news_out()
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
            uncertainty_offset=uncertainty_offset,
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
        for model, checkpoint in zip(self._models, paths, strict=True):
            _refuse_weights_that_are_not_finite(model, checkpoint)
            model.make_generation_fast_(beamable_mm_beam_size=None, need_attn=False)
            model.to(self._device).eval()
        self._system = System.of_models(self._models, None, decoding, combination, uncertainty_offset)
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
        uncertainty_offset: float | None = None,
    ) -> DirichletTransformer:
        """Load a model folder, a checkpoint in one, or several of them separated by ``:`` (an ensemble).

        Args:
            model: the folders.
            device: ``cpu``, ``cuda`` or ``cuda:N``.
            decoding: search with the ``mode`` or the ``mean`` of a student's Dirichlet.
            combination: of several models, ``pe`` (product of expectations) or ``ep`` (expectation of products); see
                :mod:`ednd_nmt.predictive`.
            uncertainty_offset: of a student's concentrations in every measure, in place of the model's own;
                see :meth:`ednd_nmt.system.System.of_models`.

        Raises:
            UserError: no such folder, or one of its files is missing or faulty; no such device; students are mixed with
                other models; a ``combination`` of a single model.
        """
        from ednd_nmt.fairseq_commands import require_fairseq

        folders = read_model_folders(model)
        require_fairseq()
        return cls(folders, device, decoding, combination, uncertainty_offset)

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
            sentences: one sentence per entry; an empty one has an empty translation, certain by definition. With
                ``constraints``, each is followed by the phrases that its translation must hold: sentence, tab, phrase, ...
            options: those of :class:`SearchOptions`.

        Raises:
            UserError: a sentence has more pieces than the model has positions; a phrase has pieces that the model does not
                know, or phrases have more of them than the translation may have; the system lacks a measure.
        """
        _refuse_one_string(sentences)
        found = list(self.translate_lines(sentences, SearchOptions(**options)))
        return found if uncertainty else [sentence.text for sentence in found]

    def translate_lines(
        self, lines: Iterable[str], options: SearchOptions = DEFAULTS, buffer: int = 1000, first: int = 0
    ) -> Iterator[Sentence]:
        """Translate a stream in the input's order; memory holds ``buffer`` lines, which are batched by length.

        Args:
            lines: as for :meth:`translate`.
            options: of the search.
            buffer: lines that are read before any is translated. What is sampled depends on it.
            first: the number of the first line, from 0.

        Raises:
            UserError: as for :meth:`translate`.
        """
        self._task.cfg.uncertainty_penalty = options.uncertainty_penalty
        self._task.cfg.penalty_measure = options.penalty_measure
        classes = len(self._task.target_dictionary)
        if options.sampling_topk > classes:
            raise UserError(
                f"The model has {classes:,} tokens to draw from; sampling_topk may not be above that."
            )
        generator, _ = self._task.build_recording_generator(self._models, options.for_fairseq())
        iterator, start = iter(lines), first
        while chunk := list(itertools.islice(iterator, buffer)):
            phrases: list[list[str]] = [[] for _ in chunk]
            if options.constraints is not None:
                parts = [line.split("\t") for line in chunk]
                chunk, phrases = [part[0] for part in parts], [part[1:] for part in parts]
            sources = self._numbers(
                chunk, start, self._text.source_pieces, self._task.source_dictionary, "source"
            )
            present = [place for place, tokens in enumerate(sources) if len(tokens) > 1]
            data = self._task.build_dataset_for_inference(
                [sources[place] for place in present],
                [len(sources[place]) for place in present],
                constraints=self._packed(phrases, sources, start, options)[present]
                if options.constraints
                else None,
            )
            with torch.random.fork_rng(enabled=options.sampling):
                if options.sampling:
                    torch.manual_seed(options.seed_of(start))
                hypotheses = self._run(generator, data, options) if present else {}
            found = {place: hypotheses[row] for row, place in enumerate(present)}
            for place, source in enumerate(chunk):
                yield self._sentence(start + place, source, found.get(place), options)
            start += len(chunk)

    def score(self, sources: Sequence[str], targets: Sequence[str], **options: Any) -> list[Sentence]:
        """The model's measures of given translations, one hypothesis each, as if its search had chosen them.

        Raises:
            UserError: unequal lengths, or a text has more pieces than the model has positions.
        """
        for texts in (sources, targets):
            _refuse_one_string(texts)
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

        scorer = UncertaintyScorer.of_settings(
            self._task.target_dictionary, self._system, options.for_fairseq()
        )
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

        return self._system.header(
            options.for_fairseq(),
            scored=scoring,
            penalty=options.uncertainty_penalty,
            penalty_measure=options.penalty_measure,
            seed=options.seed,
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

    def _packed(
        self,
        phrases: Sequence[Sequence[str]],
        sources: Sequence[torch.Tensor],
        start: int,
        options: SearchOptions,
    ) -> torch.Tensor:
        """The phrases of every line as fairseq's search takes them, int64 [lines, what the longest needs]."""
        from fairseq.token_generation_constraints import pack_constraints

        dictionary = self._task.target_dictionary
        numbers = []
        for place, of_line in enumerate(phrases):
            found = []
            for phrase in filter(str.strip, of_line):
                tokens = dictionary.encode_line(
                    self._text.target_pieces(phrase), append_eos=False, add_if_not_exist=False
                ).long()
                if tokens.eq(dictionary.unk()).any():
                    raise UserError(
                        f"The model does not know all pieces of {phrase!r}, which the translation of line "
                        f"{start + place + 1} is to hold; leave it out."
                    )
                found.append(tokens)
            needed = sum(map(len, found))
            room = int(options.max_len_a * len(sources[place]) + options.max_len_b)
            if needed > room:
                raise UserError(
                    f"The phrases after line {start + place + 1} have {needed} pieces, but its translation at most {room}; "
                    "raise max_len_b."
                )
            numbers.append(found)
        return pack_constraints(numbers)

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
                found = generator.generate(self._models, sample, constraints=sample.get("constraints"))
            for row, index in enumerate(sample["id"].tolist()):
                result[index] = [
                    hypothesis_record(
                        hypothesis,
                        dictionary,
                        self._text.text(" ".join(pieces_of(hypothesis["tokens"], dictionary))),
                    )
                    for hypothesis in found[row][: options.nbest]
                ]
        return result

    def _sentence(
        self, number: int, source: str, found: Sequence[Hypothesis] | None, options: SearchOptions
    ) -> Sentence:
        hypotheses = tuple(found) if found is not None else (self._empty(),)
        measures = sentence_measures(hypotheses, options.weighting, options.temperature)
        return Sentence(id=number, source=source, hypotheses=hypotheses, measures=measures)

    def _empty(self) -> Hypothesis:
        """The translation of an empty line: empty, and certain by definition (every measure at its least)."""
        if self._template is None:
            self._template = next(iter(self.translate_lines(["."], SearchOptions(beam=1)))).hypotheses[0]
        certain = dict.fromkeys(self._template.token_measures, (0.0,))
        if "precision" in certain:
            certain["precision"] = (float(torch.finfo(torch.float32).max),)
        measures = {name: MEASURES[name].least for name in self._template.measures}
        return Hypothesis("", ("</s>",), 0.0, 0.0, measures, certain)


def _refuse_weights_that_are_not_finite(model: torch.nn.Module, path: str) -> None:
    for name, values in model.named_parameters():
        if not torch.isfinite(values).all():
            raise UserError(
                f"The weight {name} of {path} holds NaN or an infinity; take an earlier checkpoint, or train it again."
            )


def _refuse_one_string(sentences: object) -> None:
    if isinstance(sentences, str):
        raise UserError("A list of sentences is translated, and this is one string; put it into a list.")


def leave_fairseqs_news_out() -> None:
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
    kind, _, index = name.partition(":")
    # Of the others that torch knows, none has been tried here; of an index it keeps 8 bits.
    if re.fullmatch(r"cpu|cuda(:[0-9]{1,3})?", name) is None:
        raise UserError(f"Unknown device {name!r}; give cpu, cuda or cuda:N.")
    if kind == "cuda" and int(index or 0) >= (count := torch.cuda.device_count()):
        what = (
            f"the last one is cuda:{count - 1}"
            if count
            else "leave --device out to translate on the processor"
        )
        raise UserError(f"The device {name} is not there; {what}.")
    return torch.device(name)
