"""The token-level columns of every live hypothesis during a beam search, kept in step with the beams."""

from __future__ import annotations

import torch
from torch import Tensor

from ednd_nmt.predictive import Predictive


class SearchRecord:
    """History of what :meth:`Predictive.columns` says of every row (sentences x beams) of a running search.

    A row's history holds one value per token chosen so far. The token that follows a prefix is known only when the search
    comes back with longer prefixes, so the last step's distribution is kept until then; by then it is also known which
    prefixes go on, and only those are measured. A step is :meth:`extend`, then :meth:`follow`.
    """

    def __init__(self) -> None:
        self._history: Tensor | None = None  # all columns side by side, [rows, tokens, width]
        self._places: dict[str, int | slice] = {}  # of each column in the width
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
        if self._history is None or "member_log_probability" not in self._places:
            return None
        return self._history[:, :, self._places["member_log_probability"]].double().sum(dim=1)

    def follow(self, predictive: Predictive) -> None:
        """End the step: ``predictive`` is the distribution after the present prefixes."""
        self._predictive = predictive

    def copy_rows(self, source: Tensor) -> None:
        """Let row i become what row ``source[i]`` is, without a new step (fairseq does so where a prefix ends)."""
        if self._history is not None:
            self._history = self._history[source]
        self._predictive_rows = self._predictive_rows[source]

    def finished(self, rows: Tensor, eos: int) -> dict[str, Tensor]:
        """Columns of the hypotheses that end now, EOS following the prefixes of ``rows`` (int64 [n]).

        Float32 [n, tokens], or [n, tokens, M] where each member has a value of its own.
        """
        history = self._extended(rows, torch.full_like(rows, eos))
        assert self._predictive is not None
        return self._predictive.completed(
            {name: history[:, :, place] for name, place in self._places.items()}
        )

    def _extended(self, rows: Tensor, tokens: Tensor) -> Tensor:
        """The history of ``rows``, longer by ``tokens`` [n]: [n, tokens + 1, width]."""
        assert self._predictive is not None, "follow() comes first"
        columns = self._predictive.columns(self._predictive_rows[rows], tokens)
        if not self._places:
            start = 0
            for name, column in columns.items():
                width = 1 if column.dim() == 1 else column.shape[1]
                self._places[name] = start if column.dim() == 1 else slice(start, start + width)
                start += width
        last = torch.cat(
            [column.unsqueeze(1) if column.dim() == 1 else column for column in columns.values()], 1
        )
        last = last.unsqueeze(1)
        return last if self._history is None else torch.cat([self._history[rows], last], dim=1)
