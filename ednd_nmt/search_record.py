"""The token-level columns of every live hypothesis during a beam search, kept in step with the beams."""

from __future__ import annotations

import torch
from torch import Tensor

from ednd_nmt.predictive import Predictive


class SearchRecord:
    """History of measures and chosen-token columns for every row (sentences x beams) of a running search.

    A row's history holds one value per token chosen so far. The token that follows a prefix is known only when the search
    comes back with longer prefixes, so the last step's distribution is kept until then; by then it is also known which
    prefixes go on, and only those are measured. Columns are float32 [rows, tokens], or [rows, tokens, M] where each member
    has a value of its own. A step is :meth:`extend`, then :meth:`follow`.
    """

    def __init__(self) -> None:
        self._history: dict[str, Tensor] = {}
        self._predictive: Predictive | None = None
        self._predictive_rows = torch.empty(0, dtype=torch.long)
        self._parents: Tensor | None = None

    def reorder(self, parents: Tensor) -> None:
        """Note that, from the next step on, row i continues the present row ``parents[i]`` (int64 [rows])."""
        self._parents = parents.clone()  # fairseq shifts its tensor in place later

    def extend(self, last_tokens: Tensor) -> None:
        """Begin the next step: the prefixes are longer by ``last_tokens`` (int64 [rows]; before the first step nothing)."""
        if self._predictive is not None:
            parents = self._parents if self._parents is not None else self._predictive_rows
            self._history = self._extended(parents, last_tokens)
        self._predictive_rows = torch.arange(len(last_tokens), device=last_tokens.device)
        self._parents = None

    def prefix_log_likelihood(self) -> Tensor | None:
        """``ln P_m(y_<l)`` of every member, float64 [rows, M]; None at the first token and for systems without members."""
        members = self._history.get("member_log_probability")
        return None if members is None else members.double().sum(dim=1)

    def follow(self, predictive: Predictive) -> None:
        """End the step: ``predictive`` is the distribution after the present prefixes."""
        self._predictive = predictive

    def copy_rows(self, source: Tensor) -> None:
        """Let row i become what row ``source[i]`` is, without a new step (fairseq does so where a prefix ends)."""
        self._history = {name: column[source] for name, column in self._history.items()}
        self._predictive_rows = self._predictive_rows[source]

    def finished(self, rows: Tensor, eos: int) -> dict[str, Tensor]:
        """Columns [n, tokens] of the hypotheses that end now: EOS follows the prefixes of ``rows`` (int64 [n])."""
        return self._extended(rows, torch.full_like(rows, eos))

    def _extended(self, rows: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        assert self._predictive is not None, "follow() comes first"
        last = self._predictive.columns(self._predictive_rows[rows], tokens)
        return {
            name: torch.cat([self._history[name][rows], column[:, None]], dim=1)
            if self._history
            else column[:, None]
            for name, column in last.items()
        }
