"""The token-level columns of every live hypothesis during a beam search, kept in step with the beams."""

from __future__ import annotations

import torch
from torch import Tensor

from ednd_nmt.predictive import Predictive


class SearchRecord:
    """History of measures and chosen-token columns for every row (sentences x beams) of a running search.

    A row's history holds one value per token chosen so far. The token that follows a prefix is known only when the search
    comes back with longer prefixes, so the last step's distribution is kept until then. Columns are float32 [rows, tokens].
    """

    def __init__(self) -> None:
        self._history: dict[str, Tensor] = {}
        self._measures: dict[str, Tensor] = {}
        self._predictive: Predictive | None = None
        self._predictive_rows = torch.empty(0, dtype=torch.long)
        self._parents: Tensor | None = None

    def reorder(self, parents: Tensor) -> None:
        """Note that, from the next step on, row i continues the present row ``parents[i]`` (int64 [rows])."""
        self._parents = parents.clone()  # fairseq shifts its tensor in place later

    def step(self, predictive: Predictive, last_tokens: Tensor) -> None:
        """Take the next step: ``predictive`` follows prefixes that end in ``last_tokens`` (int64 [rows])."""
        if self._predictive is not None:
            parents = self._parents if self._parents is not None else self._predictive_rows
            self._history = self._extended(parents, last_tokens)
        self._predictive = predictive
        self._predictive_rows = torch.arange(len(last_tokens), device=last_tokens.device)
        self._measures = predictive.token_measures()
        self._parents = None

    def copy_rows(self, source: Tensor) -> None:
        """Let row i become what row ``source[i]`` is, without a new step (fairseq does so where a prefix ends)."""
        self._history = {name: column[source] for name, column in self._history.items()}
        self._measures = {name: column[source] for name, column in self._measures.items()}
        self._predictive_rows = self._predictive_rows[source]

    def finished(self, rows: Tensor, eos: int) -> dict[str, Tensor]:
        """Columns [n, tokens] of the hypotheses that end now: EOS follows the prefixes of ``rows`` (int64 [n])."""
        return self._extended(rows, torch.full_like(rows, eos))

    def _extended(self, rows: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        assert self._predictive is not None, "step() comes first"
        last = {name: column[rows] for name, column in self._measures.items()}
        last.update(self._predictive.chosen_token(self._predictive_rows[rows], tokens))
        return {
            name: torch.cat([self._history[name][rows], column[:, None]], dim=1)
            if self._history
            else column[:, None]
            for name, column in last.items()
        }
