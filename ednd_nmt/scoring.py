"""Scoring given translations: what the search records about the hypotheses it finds, for targets that are there already.

Every model decodes the whole batch at once, teacher-forced; then the targets are walked through token by token with the
:class:`~ednd_nmt.search_record.SearchRecord` and the predictive distributions of the search itself, as a search would that
has no choice. There is no second implementation of any measure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ednd_nmt.errors import UserError
from ednd_nmt.last_layer import halves
from ednd_nmt.search_record import SearchRecord
from ednd_nmt.system import System


class UncertaintyScorer:
    """Takes the place of fairseq's generator (``generate``), and gives back the given target as the only hypothesis.

    The hypotheses have the keys of :class:`~ednd_nmt.sequence_generator.UncertaintySequenceGenerator`'s: ``tokens``,
    ``score``, ``positional_scores`` and ``uncertainty``, the token-level columns, EOS included once.

    Args:
        dictionary: the target dictionary.
        system: what kind of system the models are.
        temperature: divides the logits that ``score`` is computed from, as in the search; the measures do not change.
        len_penalty: ``score`` is the log-probability over ``tokens ** len_penalty``.
        normalize_scores: False leaves ``score`` undivided.
    """

    def __init__(
        self,
        dictionary: Any,
        system: System,
        *,
        temperature: float = 1.0,
        len_penalty: float = 1.0,
        normalize_scores: bool = True,
    ) -> None:
        self._pad = dictionary.pad()
        self._eos = dictionary.eos()
        self._system = system
        self._temperature = temperature
        self._exponent = len_penalty if normalize_scores else 0.0
        self.symbols_to_strip_from_output = {self._eos}  # fairseq-generate asks for it

    @classmethod
    def of_settings(cls, dictionary: Any, system: System, generation: Any) -> UncertaintyScorer:
        """A scorer with fairseq's generation options (``--temperature``, ``--lenpen``, ``--unnormalized``)."""
        return cls(
            dictionary,
            system,
            temperature=getattr(generation, "temperature", 1.0),
            len_penalty=getattr(generation, "lenpen", 1.0),
            normalize_scores=not getattr(generation, "unnormalized", False),
        )

    @torch.no_grad()
    def generate(self, models: Sequence[Any], sample: dict[str, Any], **_: Any) -> list[list[dict[str, Any]]]:
        """One hypothesis per sentence of a batch (``net_input`` with ``prev_output_tokens``, and ``target``).

        Raises:
            UserError: the batch has no targets, or one does not end with EOS.
        """
        target = sample["target"]
        if target is None:
            raise UserError(
                "Scoring needs the translations that are to be scored, but the data set has no target side."
            )
        given = target.ne(self._pad)
        tokens = target[given]  # all sentences one after the other, [tokens of the batch]
        lengths = given.sum(dim=1)
        starts = lengths.cumsum(dim=0) - lengths
        if not tokens[starts + lengths - 1].eq(self._eos).all():
            raise UserError("A translation that is to be scored does not end with the end-of-sentence token.")
        scores, uncertainties = self._walk(models, sample["net_input"], given, tokens, lengths, starts)
        hypotheses = []
        for row, (start, length) in enumerate(zip(starts.tolist(), lengths.tolist(), strict=True)):
            positional = scores[start : start + length]
            hypothesis = {
                "tokens": tokens[start : start + length],
                "score": positional.sum() / length**self._exponent,
                "attention": torch.empty(0),
                "alignment": torch.empty(0),
                "positional_scores": positional,
                "uncertainty": uncertainties[row],
            }
            hypotheses.append([hypothesis])
        return hypotheses

    def _walk(
        self,
        models: Sequence[Any],
        net_input: dict[str, Any],
        given: Tensor,
        tokens: Tensor,
        lengths: Tensor,
        starts: Tensor,
    ) -> tuple[Tensor, dict[int, dict[str, Tensor]]]:
        """Search scores [tokens of the batch], and the token-level columns of every sentence."""
        for model in models:
            model.eval()
        # Logits are made step by step from the last hidden layer: for a whole batch they would fill the memory.
        hidden_layers, output_layers = zip(*map(halves, models), strict=True)
        features = [hidden_layer(**net_input)[given] for hidden_layer in hidden_layers]
        previous = net_input["prev_output_tokens"][given]
        scores = torch.empty(len(tokens), device=tokens.device)
        ended: list[int] = []
        record = SearchRecord()
        alive = torch.arange(len(lengths), device=tokens.device)
        for step in range(int(lengths.max())):
            at = starts[alive] + step
            logits = [
                output_layer(states[at]) for output_layer, states in zip(output_layers, features, strict=True)
            ]
            record.extend(previous[at])
            predictive = self._system.predictive(logits, record)
            record.follow(predictive)
            log_probabilities = predictive.search_log_probabilities(self._temperature)
            scores[at] = log_probabilities.gather(1, tokens[at, None])[:, 0].to(scores.dtype)
            ends = lengths[alive] == step + 1
            record.end(ends.nonzero()[:, 0], self._eos)
            ended += alive[ends].tolist()
            continuing = (~ends).nonzero()[:, 0]
            record.reorder(continuing)
            alive = alive[continuing]
        return scores, dict(zip(ended, record.hypotheses(), strict=True))


def pair_dataset(task: Any, sources: Sequence[Tensor], targets: Sequence[Tensor]) -> Any:
    """fairseq's data set of sentence pairs, for scoring texts that were never binarised.

    Its batches (``task.get_batch_iterator``, or ``collater`` of some of its items) are what
    :meth:`UncertaintyScorer.generate` takes; a pair's id is its place in the lists.

    Args:
        task: a translation task (dictionaries and padding).
        sources: token numbers of every source, int64 [tokens], EOS at the end.
        targets: token numbers of every translation, int64 [tokens], EOS at the end.
    """
    from fairseq.data import LanguagePairDataset

    return LanguagePairDataset(
        sources,
        [len(source) for source in sources],
        task.source_dictionary,
        targets,
        [len(target) for target in targets],
        task.target_dictionary,
        left_pad_source=task.cfg.left_pad_source,
        left_pad_target=task.cfg.left_pad_target,
        shuffle=False,
    )
