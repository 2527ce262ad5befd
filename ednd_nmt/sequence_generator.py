"""fairseq's beam search, with the uncertainty of every hypothesis recorded from the logits that the search computes.

Nothing of fairseq's beam loop is repeated here. :class:`RecordingEnsembleModel` takes the place of the generator's model: it
sees each step's logits and every reordering of the beams. :class:`UncertaintySequenceGenerator` tells it which of the rows
fairseq finalises, and attaches to each hypothesis what was recorded of it. There is no second forward pass.

One thing is unlike fairseq: the longest translation, ``max_len_a * source + max_len_b``, is that of each sentence's own
source, where fairseq takes the longest source of the batch. A sentence has the same translations in whatever company.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from fairseq.search import BeamSearch
from fairseq.sequence_generator import EnsembleModel, SequenceGenerator
from torch import Tensor

from ednd_nmt.beam_search import GroupedBeamSearch
from ednd_nmt.errors import UserError
from ednd_nmt.predictive import Predictive
from ednd_nmt.search_record import SearchRecord

PredictiveFactory = Callable[[Sequence[Tensor], SearchRecord], Predictive]


@dataclass(frozen=True)
class UncertaintyPenalty:
    """Lowers a step's log-probabilities by ``weight`` times a token-level measure of its distribution.

    All continuations of a prefix are lowered alike, so that beams which lead to uncertain places lose to those which do
    not; the measures themselves do not change. Weight 0 does nothing, to the last bit.
    """

    weight: float
    measure: str

    def lower(self, log_probabilities: Tensor, predictive: Predictive) -> Tensor:
        """``log_probabilities`` [rows, K], changed in place, less ``weight`` times the measure of ``predictive``."""
        if self.weight == 0:
            return log_probabilities
        measure = predictive.token_measures()[self.measure]
        return log_probabilities.sub_(self.weight * measure.unsqueeze(1))


NO_PENALTY = UncertaintyPenalty(0.0, "TU")


class RecordingEnsembleModel(EnsembleModel):
    """fairseq's wrapper of the models of a search, which also keeps a :class:`SearchRecord`.

    Args:
        models: encoder-decoder models; one, or the members of an ensemble.
        make_predictive: builds the next-token distribution from one logits tensor [rows, K] per model and the record of
            the rows' prefixes.
        penalty: what the search holds against uncertain prefixes.
    """

    def __init__(
        self,
        models: Sequence[Any],
        make_predictive: PredictiveFactory,
        penalty: UncertaintyPenalty = NO_PENALTY,
    ) -> None:
        super().__init__(models)
        self._make_predictive = make_predictive
        self._penalty = penalty
        self._stateful = [
            [module for module in model.decoder.modules() if hasattr(module, "reorder_incremental_state")]
            for model in models
        ]
        self.start_search()

    def start_search(self, limits: Tensor | None = None, eos: int = -1) -> None:
        """Forget the last batch.

        Args:
            limits: most tokens before EOS that each row may have, int64 [sentences x beams], where that is less for some of
                them than for the batch.
            eos: the token that is left at the limit.
        """
        self.record = SearchRecord()
        self._encoder_rows = 0
        self._limits, self._eos = limits, eos
        self._shortest = math.inf if limits is None else int(limits.min())

    def is_at_limit(self, row: int, step: int) -> bool:
        """Whether a present row has all the tokens before EOS that it may have, ``step`` of them."""
        return step >= self._shortest and self._limits is not None and step >= int(self._limits[row])

    def forward_decoder(
        self,
        tokens: Tensor,
        encoder_outs: Any,
        incremental_states: Any,
        temperature: float = 1.0,
    ) -> tuple[Tensor, Tensor | None]:
        """One step: log-probabilities [rows, K] to search with and the members' mean attention, as fairseq expects."""
        logits, attentions = [], []
        for model, encoder_out, state in zip(self.models, encoder_outs, incremental_states, strict=True):
            output, extra = model.decoder(tokens, encoder_out=encoder_out, incremental_state=state)
            logits.append(output[:, -1, :])
            attention = _attention(extra)
            if attention is not None:
                attentions.append(attention[:, -1, :])
        self.record.extend(tokens[:, -1])
        predictive = self._make_predictive(logits, self.record)
        self.record.follow(predictive)
        mean_attention = torch.stack(attentions).mean(dim=0) if attentions else None
        log_probabilities = self._penalty.lower(predictive.search_log_probabilities(temperature), predictive)
        step = tokens.shape[1] - 1
        if step >= self._shortest:
            assert self._limits is not None
            ends = log_probabilities[:, self._eos].clone()
            log_probabilities[self._limits <= step] = -math.inf
            log_probabilities[:, self._eos] = ends
        return log_probabilities, mean_attention

    def reorder_incremental_state(self, incremental_states: Any, new_order: Tensor) -> None:
        """Follow the beams: row i of the next step continues row ``new_order[i]``."""
        self.record.reorder(new_order)
        if self._limits is not None:
            self._limits = self._limits[new_order]
        for modules, state in zip(self._stateful, incremental_states, strict=True):
            for module in modules:  # fairseq looks for them among all modules, at every step
                module.reorder_incremental_state(state, new_order)

    def reorder_encoder_out(self, encoder_outs: Any, new_order: Tensor) -> Any:
        """Follow the sentences, which move only when some leave the batch: all beams of one have its encoder output."""
        if len(new_order) == self._encoder_rows:
            return encoder_outs
        self._encoder_rows = len(new_order)
        return super().reorder_encoder_out(encoder_outs, new_order)


def _attention(extra: Any) -> Tensor | None:
    """The attention [rows, tokens, source] in what a decoder returns beside its logits: fairseq's have three ways."""
    found: Any = extra.get("attn") if isinstance(extra, dict) else extra
    if isinstance(found, list | tuple):
        return found[0] if found else None
    return found


class UncertaintySequenceGenerator(SequenceGenerator):
    """fairseq's generator whose hypotheses carry ``uncertainty``: token-level columns, float32 [tokens], EOS included.

    Of every sentence the ``nbest`` best hypotheses do (None: all that the search has found), and only what these came
    through is measured.

    Works with every search strategy of fairseq, with prefix tokens and with constraints; see
    :mod:`ednd_nmt.predictive` for the columns of each kind of system.
    """

    max_len_b: int

    def __init__(
        self,
        models: Sequence[Any],
        tgt_dict: Any,
        *,
        make_predictive: PredictiveFactory,
        penalty: UncertaintyPenalty = NO_PENALTY,
        nbest: int | None = None,
        **kwargs: Any,
    ) -> None:
        self._nbest = nbest
        if type(kwargs.get("search_strategy")) in (
            BeamSearch,
            type(None),
        ):  # the others have steps of their own
            kwargs["search_strategy"] = GroupedBeamSearch(tgt_dict)
        super().__init__(RecordingEnsembleModel(models, make_predictive, penalty), tgt_dict, **kwargs)
        if self.min_len >= self.max_len:
            raise UserError(
                f"A translation of at least {self.min_len} pieces (--min-len) does not fit into the model's positions, "
                f"which have room for {self.max_len - 1}; give less."
            )

    def _generate(
        self, sample: dict[str, Any], prefix_tokens: Tensor | None = None, *args: Any, **kwargs: Any
    ) -> list[list[dict[str, Any]]]:
        self._ended: list[dict[str, Any]] = []  # in the order of the record
        limits = self._limits(sample["net_input"], prefix_tokens)
        with self._room_for_the_shortest(sample["net_input"]):
            is_that_of_batch = limits.eq(self._limit_of_batch(sample["net_input"])).all()
            self.model.start_search(None if is_that_of_batch else limits, self.eos)
            found = super()._generate(sample, prefix_tokens, *args, **kwargs)
        best = {id(hypothesis) for sentence in found for hypothesis in sentence[: self._nbest]}
        wanted = [id(hypothesis) in best for hypothesis in self._ended]
        columns = iter(self.model.record.hypotheses(wanted))
        for hypothesis, is_wanted in zip(self._ended, wanted, strict=True):
            if is_wanted:
                hypothesis["uncertainty"] = next(columns)
        return found

    @contextmanager
    def _room_for_the_shortest(self, net_input: dict[str, Any]) -> Iterator[None]:
        """Within this context the batch's limit, which fairseq compares with ``min_len``, is not below it.

        Raises:
            UserError: the sources say how long their translations are, and that is too short.
        """
        lacking = self.min_len - self._limit_of_batch(net_input)
        if lacking > 0 and self.match_source_len:
            raise UserError(
                f"--match-source-len makes a translation as long as its source, which is shorter than --min-len "
                f"{self.min_len} in a whole batch; leave out one of them."
            )
        room: int = self.max_len_b
        self.max_len_b = room + max(lacking, 0)
        try:
            yield
        finally:
            self.max_len_b = room

    def _limit_of_batch(self, net_input: dict[str, Any]) -> int:
        """Most tokens before EOS that fairseq allows in a batch."""
        if self.match_source_len:
            return int(net_input["src_lengths"].max())
        return min(int(self.max_len_a * net_input["src_tokens"].shape[1] + self.max_len_b), self.max_len - 1)

    def _limits(self, net_input: dict[str, Any], prefix_tokens: Tensor | None) -> Tensor:
        """Most tokens before EOS of every row, int64 [sentences x beams].

        It is what fairseq would allow to the sentence alone, but never less than what has to be there.
        """
        lengths = net_input["src_lengths"]  # EOS included, as in the width that fairseq looks at
        if self.match_source_len:
            limits = lengths.clone()
        else:
            limits = (self.max_len_a * lengths.double() + self.max_len_b).long().clamp_max(self.max_len - 1)
        limits.clamp_min_(self.min_len)
        if prefix_tokens is not None:
            limits = torch.maximum(limits, prefix_tokens.ne(self.pad).sum(dim=1))
        return limits.repeat_interleave(self.beam_size)

    def is_finished(
        self, step: int, unfin_idx: int, max_len: int, finalized_sent_len: int, beam_size: int
    ) -> bool:
        """As fairseq's, with the sentence's own limit for that of the batch."""
        finished: bool = super().is_finished(step, unfin_idx, max_len, finalized_sent_len, beam_size)
        return finished or self.model.is_at_limit(unfin_idx * beam_size, step)

    def _prefix_tokens(
        self, step: int, lprobs: Tensor, scores: Tensor, tokens: Tensor, prefix_tokens: Tensor, beam_size: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        result = super()._prefix_tokens(step, lprobs, scores, tokens, prefix_tokens, beam_size)
        ends = prefix_tokens[:, step].eq(self.eos)
        if ends.any():  # there fairseq copies the first beam over the others, and so must the record
            rows = torch.arange(len(lprobs), device=lprobs.device).view(-1, beam_size)
            self.model.record.copy_rows(torch.where(ends[:, None], rows[:, :1], rows).view(-1))
        return result

    def finalize_hypos(
        self,
        step: int,
        bbsz_idx: Tensor,
        eos_scores: Tensor,
        tokens: Tensor,
        scores: Tensor,
        finalized: list[list[dict[str, Any]]],
        finished: list[bool],
        beam_size: int,
        attn: Tensor | None,
        src_lengths: Tensor,
        max_len: int,
    ) -> list[int]:
        """Finalise as fairseq does, and record which of the rows have become hypotheses."""
        unfinished = [sentence for sentence, done in enumerate(finished) if not done]
        sentences = [unfinished[row // beam_size] for row in bbsz_idx.tolist()]
        positions = {sentence: len(finalized[sentence]) for sentence in sentences}
        newly_finished = super().finalize_hypos(
            step,
            bbsz_idx,
            eos_scores,
            tokens,
            scores,
            finalized,
            finished,
            beam_size,
            attn,
            src_lengths,
            max_len,
        )
        # fairseq takes the rows in order and drops those that come after a sentence has its beam_size hypotheses
        taken = []
        for index, sentence in enumerate(sentences):
            if positions[sentence] < len(finalized[sentence]):
                self._ended.append(finalized[sentence][positions[sentence]])
                positions[sentence] += 1
                taken.append(index)
        self.model.record.end(bbsz_idx[taken], self.eos)
        return newly_finished
