"""Finding the first tensor that is not finite on the way to a loss, for a batch that has gone wrong already."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ednd_nmt.chunked import TeacherOutput
from ednd_nmt.ensemble import EnsembleStatistics
from ednd_nmt.errors import UserError
from ednd_nmt.objectives.core import Evaluation, Objective

DIVERGED = "lower --lr or set --clip-norm, and go on from an earlier checkpoint"
"""What to do when training itself is the reason."""


def sentences_of(sample: Mapping[str, Any]) -> str:
    """Which sentences a batch of fairseq has, the first five of them by number."""
    ids = sample["id"].tolist()
    first = ", ".join(map(str, ids[:5])) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
    return f"the sentences {first} (counted from 0)"


class Examination:
    """Looks at tensors in the order in which they are computed, and stops at the first that is not finite.

    Every look waits for the device, so that this is no part of a step that goes well.

    Args:
        batch: says which batch it is about, as the beginning of a sentence.
        lack: what it has not for that reason.
    """

    def __init__(self, batch: str, lack: str = "no finite loss") -> None:
        self.batch, self.lack = batch, lack

    def look(self, name: str, values: Tensor, remedy: str = DIVERGED) -> None:
        """Look at one tensor.

        Raises:
            UserError: it holds NaN or an infinity; the sentence names batch and tensor, and ends with ``remedy``.
        """
        if not torch.isfinite(values).all():
            what = "NaN" if torch.isnan(values).any() else "an infinity"
            raise UserError(f"{self.batch} has {self.lack}, since there is {what} in {name}; {remedy}.")

    def weights(self, owner: str, module: torch.nn.Module, remedy: str = DIVERGED) -> None:
        """Look at all parameters of a module."""
        for name, parameter in module.named_parameters():
            self.look(f"the weight {name} of {owner}", parameter, remedy)

    def gradients(self, owner: str, module: torch.nn.Module) -> None:
        """Look at the gradients of all parameters of a module."""
        for name, parameter in module.named_parameters():
            if parameter.grad is not None:
                self.look(f"the gradient of {name} of {owner}", parameter.grad)

    def of_teacher(self, teacher: TeacherOutput, names: Sequence[str], remedy: str) -> TeacherOutput:
        """The same members' logits (or stored statistics), looked at as they are made."""

        def members(logits_of_members: Iterable[Tensor]) -> Iterator[Tensor]:
            for name, logits in zip(names, logits_of_members, strict=True):
                self.look(f"the logits of {name}", logits, remedy)
                yield logits

        def looked_at(chunk: slice) -> Iterable[Tensor] | EnsembleStatistics:
            output = teacher(chunk)
            if not isinstance(output, EnsembleStatistics):
                return members(output)
            for values in (output.mean, output.mkl, output.mutual_information):
                self.look("the stored targets", values, "make them again with `ednd-nmt store`")
            return output

        return looked_at

    def of_objective(self, objective: Objective) -> Objective:
        """The same objective; its logits are looked at before it, and its values after."""

        def looked_at(logits: Tensor, statistics: EnsembleStatistics, **options: Any) -> Evaluation:
            self.look("the student's logits", logits)
            result = objective(logits, statistics, **options)
            self.look("the objective", result.loss)
            return result

        return looked_at
