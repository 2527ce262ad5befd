"""The half of the task ``distillation`` that generates: a search, or a scorer, that writes the uncertainty file."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from fairseq.tasks.translation import TranslationTask

from ednd_nmt.compiled import use_compiled_bodies
from ednd_nmt.errors import UserError, nearest
from ednd_nmt.generation_records import GenerationRecords
from ednd_nmt.search_options import draws_at_random
from ednd_nmt.system import System


class RecordingTask(TranslationTask):
    """fairseq's translation task; with ``--uncertainty-output``, what it searches or scores is recorded."""

    def __init__(self, cfg: Any, src_dict: Any, tgt_dict: Any) -> None:
        super().__init__(cfg, src_dict, tgt_dict)
        self._expected: GenerationRecords | None = None  # of the batches that were asked for last
        self._records: GenerationRecords | None = None  # that are being written
        self._seed: int | None = None  # of a search that draws at random
        self.tokenizer: Any = None
        self.bpe: Any = None

    def get_batch_iterator(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        """fairseq's iterator, without the batches that an interrupted run has recorded already.

        Raises:
            UserError: there are none; the uncertainty file cannot be written.
        """
        iterator = super().get_batch_iterator(dataset, *args, **kwargs)
        if self.cfg.uncertainty_output is not None:
            shards, shard = iterator.num_shards, iterator.shard_id
            if shards == 1:  # fairseq-generate itself looks at --distributed-world-size alone
                shards, shard = self.cfg.num_shards, self.cfg.shard_id
            self._expected = GenerationRecords(
                self.cfg.uncertainty_output, dataset, iterator.frozen_batches[shard::shards]
            )
            iterator = copy.copy(iterator)  # fairseq keeps its own for the next call
            iterator._frozen_batches, iterator.num_shards, iterator.shard_id = (
                tuple(self._expected.left),
                1,
                0,
            )
        return iterator

    def build_generator(
        self,
        models: Sequence[Any],
        args: Any,
        seq_gen_cls: Any = None,
        extra_gen_cls_kwargs: Any = None,
        **kwargs: Any,
    ) -> Any:
        """fairseq's generator, or ours if an uncertainty file is asked for or an option of ours changes the search.

        With ``--score-reference`` the references are scored in place of a search, as fairseq does.

        Raises:
            UserError: the models are neither one model nor several of one kind, plain or students with one offset; an option
                asks for another kind of generator at the same time.
        """
        if self.cfg.uncertainty_output is None and not (given := self._options_of_the_search()):
            return super().build_generator(models, args, seq_gen_cls, extra_gen_cls_kwargs, **kwargs)
        if getattr(args, "print_alignment", None):
            name = "--uncertainty-output" if self.cfg.uncertainty_output is not None else given[0]
            raise UserError(f"A search with {name} records no alignment; leave out --print-alignment.")
        if self.cfg.uncertainty_output is None:
            return self.build_recording_generator(models, args, extra_gen_cls_kwargs, **kwargs)[0]
        if getattr(args, "constraints", None):
            raise UserError(
                "Binarised data hold no constraints; leave out --constraints, or translate the text with "
                "ednd-nmt translate --constraints."
            )
        if self._expected is None:
            raise UserError(
                "fairseq-interactive has no --uncertainty-output; translate with ednd-nmt translate, or binarise the text "
                "for fairseq-generate."
            )
        generator, system = self.build_recording_generator(models, args, extra_gen_cls_kwargs, **kwargs)
        self._seed = torch.initial_seed() if draws_at_random(args) else None
        self._expected.start(self, system, models, args)
        self._records = self._expected
        return generator

    def _options_of_the_search(self) -> list[str]:
        """The options of this task that change which hypotheses are found, as far as they are given."""
        defaults = {"ensemble_combination": "pe", "dirichlet_decoding": "mode", "uncertainty_penalty": "0.0"}
        return [
            f"--{name.replace('_', '-')}"
            for name, default in defaults.items()
            if str(getattr(self.cfg, name)) != default
        ]

    def build_recording_generator(
        self, models: Sequence[Any], args: Any, extra_gen_cls_kwargs: Any = None, **kwargs: Any
    ) -> tuple[Any, System]:
        """A search (or scorer) whose hypotheses carry uncertainties, and what kind of system it decodes with.

        Raises:
            UserError: the models are neither one model nor several of one kind, plain or students with one offset.
        """
        if self.cfg.compile_measures:
            use_compiled_bodies()
        system = System.of_models(
            models,
            self.cfg.model_offset,
            str(self.cfg.dirichlet_decoding),
            str(self.cfg.ensemble_combination),
            self.cfg.uncertainty_offset,
        )
        if getattr(args, "score_reference", False):
            from ednd_nmt.scoring import UncertaintyScorer

            if self.cfg.uncertainty_penalty != 0:
                raise UserError("--uncertainty-penalty acts on a beam search; leave out --score-reference.")
            return UncertaintyScorer.of_settings(self.target_dictionary, system, args), system

        from ednd_nmt.sequence_generator import UncertaintySequenceGenerator

        generator = super().build_generator(
            models,
            args,
            partial(
                UncertaintySequenceGenerator,
                make_predictive=system.predictive,
                penalty=self._penalty(system, args),
                nbest=getattr(args, "nbest", None),
            ),
            extra_gen_cls_kwargs,
            **kwargs,
        )
        return generator, system

    def _penalty(self, system: System, args: Any) -> Any:
        """The penalty of the options.

        Raises:
            UserError: a negative or infinite weight, sampling instead of a beam, or a measure that the system does not have.
        """
        from ednd_nmt.sequence_generator import UncertaintyPenalty

        weight, measure = self.cfg.uncertainty_penalty, self.cfg.penalty_measure
        if not 0 <= weight < math.inf:
            raise UserError(f"--uncertainty-penalty is {weight}; give a finite number that is at least 0.")
        if weight > 0:
            if getattr(args, "sampling", False):
                raise UserError("--uncertainty-penalty acts on a beam search; leave out --sampling.")
            known = [name for name in system.token_measure_names() if name != "precision"]
            if measure not in known:
                raise UserError(
                    f"This system has no token-level measure {measure!r} for --penalty-measure{nearest(measure, known)}; "
                    f"it has {', '.join(known)}."
                )
        return UncertaintyPenalty(weight, measure)

    def build_tokenizer(self, args: Any) -> Any:
        """fairseq's tokenizer, also used for the texts of the uncertainty file."""
        self.tokenizer = super().build_tokenizer(args)
        return self.tokenizer

    def build_bpe(self, args: Any) -> Any:
        """fairseq's subword codec, also used for the texts of the uncertainty file."""
        self.bpe = super().build_bpe(args)
        return self.bpe

    def inference_step(self, generator: Any, models: Any, sample: Any, **kwargs: Any) -> Any:
        """Search as fairseq does and add the batch to the uncertainty file.

        What is drawn at random then depends on the seed and the batch's first sentence alone, so that a run that goes on
        after an interruption draws what it would have drawn.
        """
        if self._records is None:
            return super().inference_step(generator, models, sample, **kwargs)
        with torch.random.fork_rng(enabled=self._seed is not None):
            if self._seed is not None:
                torch.manual_seed((self._seed % (1 << 31) << 32) + int(sample["id"][0]))
            hypotheses = super().inference_step(generator, models, sample, **kwargs)
        self._records.add(sample, hypotheses)
        return hypotheses
