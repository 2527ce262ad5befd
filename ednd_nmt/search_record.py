"""The token-level columns of the hypotheses of a beam search, measured where the beams came through and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ednd_nmt.predictive import Predictive

PENDING_BYTES = 256 << 20
"""Memory for the distributions of steps that wait to be measured."""


@dataclass
class _Step:
    """The tokens that were chosen after the prefixes of one step: those that end a hypothesis, then those that go on.

    Attributes:
        predictive: the distribution after every prefix; None when what is needed of it has been measured.
        rows: the prefix, a row of ``predictive``, of every choice, int64 [choices].
        tokens: what was chosen, int64 [choices].
        ended: how many of the choices end a hypothesis.
        first: the choice of the step before that made the prefix of row 0; those of the other rows follow it.
        columns: what :meth:`Predictive.columns` says of the choices that were measured, and 0 of the others.
        prefix: ``ln P_m`` of what was chosen so far, float64 [choices, M], where it has been asked for.
    """

    predictive: Predictive | None
    rows: Tensor
    tokens: Tensor
    ended: int
    first: int
    columns: dict[str, Tensor] = field(default_factory=dict)
    prefix: Tensor | None = None

    def before(self, choices: Tensor) -> Tensor:
        """The choices of the step before that led to ``choices``."""
        return self.rows[choices] + self.first

    def measure(self, choices: Tensor) -> None:
        """Record the columns of ``choices`` (int64 [n], or a mask of all), and let go of the distribution."""
        assert self.predictive is not None
        measured = self.predictive.columns(self.rows[choices], self.tokens[choices])
        for name, column in measured.items():
            self.columns[name] = column.new_zeros(len(self.rows), *column.shape[1:])
            self.columns[name][choices] = column
        self.predictive = None


class SearchRecord:
    """What :meth:`Predictive.columns` says of every token of the hypotheses of a running search.

    A row is a prefix (sentences x beams). A step is :meth:`extend`, then :meth:`follow`, then :meth:`end` for the
    hypotheses that end there, then :meth:`reorder`; after the last one, :meth:`hypotheses`.

    Most prefixes of a beam search lead to none of the hypotheses that it returns. A step's distribution is therefore kept,
    up to ``pending_bytes`` in all, and when it must go only those of its rows are measured that a hypothesis has come
    through or that a live prefix continues.

    Args:
        pending_bytes: memory for the distributions that wait.
    """

    def __init__(self, pending_bytes: int = PENDING_BYTES) -> None:
        self._budget = pending_bytes
        self._held = 0  # bytes of the steps that wait
        self._steps: list[_Step] = []
        self._measured = 0  # number of steps, the oldest, that do not wait
        self._predictive: Predictive | None = None
        self._rows = torch.empty(0, dtype=torch.long)  # of the predictive, for each present prefix
        self._parents: Tensor | None = None
        self._ends: list[Tensor] = []
        self._eos = -1

    def reorder(self, parents: Tensor) -> None:
        """Note that, from the next step on, row i continues the present row ``parents[i]`` (int64 [rows])."""
        self._parents = parents.clone()  # fairseq shifts its tensor in place later

    def extend(self, last_tokens: Tensor) -> None:
        """Begin the next step: the prefixes are longer by ``last_tokens`` (int64 [rows]; before the first step nothing)."""
        if self._predictive is not None:
            self._close(self._rows if self._parents is None else self._rows[self._parents], last_tokens)
            while self._held > self._budget:
                self._measure_oldest()
        self._rows = torch.arange(len(last_tokens), device=last_tokens.device)
        self._parents = None

    def prefix_log_likelihood(self) -> Tensor | None:
        """``ln P_m(y_<l)`` of every member, float64 [rows, M]; None at the first token.

        To be asked between :meth:`extend` and :meth:`follow`, at every step, of systems that have members.
        """
        if not self._steps:
            return None
        while self._measured < len(self._steps):
            self._measure_oldest()
        last = self._steps[-1]
        last.prefix = last.columns["member_log_probability"].double()
        if len(self._steps) > 1:
            earlier = self._steps[-2].prefix
            assert earlier is not None, "asked at some steps only"
            last.prefix += earlier[last.rows + last.first]
        return last.prefix[last.ended :]

    def follow(self, predictive: Predictive) -> None:
        """``predictive`` is the distribution after the present prefixes."""
        self._predictive = predictive

    def copy_rows(self, source: Tensor) -> None:
        """Let row i become what row ``source[i]`` is, without a new step (fairseq does so where a prefix ends)."""
        self._rows = self._rows[source]

    def end(self, rows: Tensor, eos: int) -> None:
        """Note that hypotheses end now, EOS following the prefixes of ``rows`` (int64 [n])."""
        self._ends.append(self._rows[rows])
        self._eos = eos

    def hypotheses(self, wanted: Sequence[bool] | None = None) -> list[dict[str, Tensor]]:
        """Columns of the hypotheses that have ended, in the order in which they did; the search is over.

        Float32 [tokens], EOS included, or [tokens, M] where each member has a value of its own; in the processor's memory.

        Args:
            wanted: for every hypothesis that has ended whether its columns are asked for, which must be so for one at least;
                None is all.
        """
        assert self._predictive is not None, "follow() comes first"
        none = self._rows[:0]
        self._close(none, none)
        ways = self._ways(wanted)
        for step, way in zip(self._steps, ways, strict=True):
            if step.predictive is not None and len(way) > 0:
                step.measure(way.unique())
        self._measured, self._held = len(self._steps), 0

        count = len(ways[0])
        shape = count, len(ways)
        padded = {
            name: column.new_empty(*shape, *column.shape[1:])
            for name, column in self._steps[0].columns.items()
        }
        inside = torch.zeros(shape, dtype=torch.bool, device=none.device)
        for place, (step, way) in enumerate(zip(self._steps, ways, strict=True)):
            inside[count - len(way) :, place] = True
            for name, column in step.columns.items():
                padded[name][count - len(way) :, place] = column[way]
        completed = self._predictive.completed({name: column[inside] for name, column in padded.items()})
        lengths = inside.sum(dim=1).tolist()
        split = {name: column.cpu().split(lengths) for name, column in completed.items()}
        return [{name: columns[number] for name, columns in split.items()} for number in range(count)]

    def _close(self, rows: Tensor, tokens: Tensor) -> None:
        """End the present step: ``rows`` [n] of its distribution go on with ``tokens`` [n]."""
        assert self._predictive is not None
        ends = torch.cat([*self._ends, rows[:0]])
        self._steps.append(
            _Step(
                self._predictive,
                torch.cat([ends, rows]),
                torch.cat([torch.full_like(ends, self._eos), tokens]),
                len(ends),
                self._steps[-1].ended if self._steps else 0,
            )
        )
        self._held += self._predictive.held_bytes()
        self._ends = []

    def _ways(self, wanted: Sequence[bool] | None) -> list[Tensor]:
        """Of every step, its choices on the way to the wanted hypotheses that ended there or later, in their order.

        A hypothesis is as long as the number of the step that it ended at: each list is an end of the one before it.
        """
        way = self._rows[:0]
        ways = []
        ended = [step.ended for step in self._steps]
        chosen = torch.ones(sum(ended), dtype=torch.bool) if wanted is None else torch.tensor(wanted)
        ends_of_steps = [part.nonzero()[:, 0].to(way.device) for part in chosen.split(ended)]
        for number in reversed(range(len(self._steps))):
            way = torch.cat([ends_of_steps[number], way])
            ways.append(way)
            way = self._steps[number].before(way)
        return ways[::-1]

    def _measure_oldest(self) -> None:
        """Measure what is needed of the step that has waited longest."""
        waiting = self._steps[self._measured :]
        needed = torch.ones_like(waiting[-1].rows, dtype=torch.bool)
        for step, later in zip(waiting[-2::-1], waiting[:0:-1], strict=True):
            before = later.before(needed)
            needed = torch.zeros_like(step.rows, dtype=torch.bool)
            needed[: step.ended] = True
            needed[before] = True
        predictive = waiting[0].predictive
        assert predictive is not None
        self._held -= predictive.held_bytes()
        waiting[0].measure(needed)
        self._measured += 1
