"""The ensemble that a student is distilled from, run batch by batch beside the student."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from fairseq import checkpoint_utils
from fairseq.modules import LearnedPositionalEmbedding
from fairseq.tasks.translation import TranslationTask
from fairseq.utils import apply_to_sample, resolve_max_positions
from torch import Tensor

from ednd_nmt.checkpoint_fit import check_fit, configuration
from ednd_nmt.chunked import MemberLogits, TeacherOutput
from ednd_nmt.ensemble import EnsembleStatistics
from ednd_nmt.errors import UserError
from ednd_nmt.last_layer import halves, linear_output
from ednd_nmt.projection import linear_logits
from ednd_nmt.rows import select_rows
from ednd_nmt.settings import DirichletSettings
from ednd_nmt.stored_targets import STORED_TARGETS, TailShape, expand
from ednd_nmt.system import refuse_adaptive_softmax

logger = logging.getLogger(__name__)

_FLAGS = {torch.float16: "--fp16-ensemble", torch.bfloat16: "--bf16-ensemble"}


class Teacher:
    """Members in evaluation mode; their logits come one member and one chunk of tokens at a time.

    Args:
        members: encoder-decoder models that share the student's dictionaries; architectures may differ.
        device: where the members run.
        dtype: what to run the members in: float16, bfloat16, or None for that of their weights.
        paths: where the members come from, to name them in messages.
    """

    def __init__(
        self,
        members: Sequence[Any],
        device: torch.device,
        dtype: torch.dtype | None = None,
        paths: Sequence[str] | None = None,
    ) -> None:
        self._device = device
        self.members = [member.to(device) for member in members]
        self.remedy = (
            "take the member out of --ensemble-paths, or train it again"
            if dtype is None
            else f"leave out {_FLAGS[dtype]}, or take the member out of --ensemble-paths"
        )
        """What to do about a member whose values are not finite."""
        self.names = [f"ensemble member {number}" for number in range(1, len(members) + 1)]
        if paths is not None:
            self.names = [f"{name} ({path})" for name, path in zip(self.names, paths, strict=True)]
        for member in self.members:
            member.eval()
            member.requires_grad_(False)
            if dtype is not None:
                member.to(dtype)

    def max_positions(self) -> Any:
        """The longest source and target that all members take, in fairseq's form; None if nothing limits them.

        Learned positions come to an end, beyond which there is none; sinusoids do not.
        """
        limited = (
            member
            for member in self.members
            if any(isinstance(module, LearnedPositionalEmbedding) for module in member.modules())
        )
        return resolve_max_positions(*(member.max_positions() for member in limited))

    @torch.no_grad()
    def decode(self, sample: dict[str, Any], positions: Tensor) -> MemberLogits:
        """Run every member over a batch up to its last hidden layer.

        Args:
            sample: fairseq's batch.
            positions: int64 [tokens], the target positions that count (no padding) in the flattened batch.

        Returns:
            What projects, chunk by chunk, the logits [tokens of the chunk, K] of one member after the other, in the member's
            dtype and on its device. They last until the next member's are asked for, which may be put in their place.
        """
        net_input = apply_to_sample(lambda values: values.to(self._device), sample["net_input"])
        positions = positions.to(self._device)
        states = []
        for member in self.members:
            hidden_layer, output_layer = halves(member)
            features = select_rows(hidden_layer(**net_input), positions)
            # Under autocast the last layer may have come out in half precision.
            features = features.to(next(member.parameters()).dtype)
            states.append((features, linear_output(member), output_layer))

        def member_logits(chunk: slice) -> Iterator[Tensor]:
            memory: Tensor | None = None
            for features, linear, output_layer in states:
                if linear is not None:
                    memory = linear_logits(features[chunk], linear.weight, linear.bias, into=memory)
                    yield memory
                    continue
                # Not around the yield: whoever stops half-way would go on without gradients.
                with torch.no_grad():
                    logits = output_layer(features[chunk])
                yield logits
                del logits

        return member_logits


class StoredTeacher:
    """In place of the members: what ``ednd-nmt store`` kept of them, which the data set has put into every batch.

    Args:
        tail: how the classes that were not kept share what is left, from the same file.
    """

    remedy = "make the targets again with `ednd-nmt store`"

    def __init__(self, tail: TailShape) -> None:
        self._tail = tail
        self.members: list[Any] = []
        self.names: list[str] = []

    def max_positions(self) -> None:
        """No limit: all sentences of the data are there."""

    def decode(self, sample: dict[str, Any], positions: Tensor) -> TeacherOutput:
        """The statistics of the chunks of a batch; see :meth:`Teacher.decode`."""
        stored = sample[STORED_TARGETS]
        self._tail = self._tail.to(stored["classes"].device)

        def statistics(chunk: slice) -> EnsembleStatistics:
            return expand({name: column[chunk] for name, column in stored.items()}, self._tail)

        return statistics


def split_paths(paths: str) -> list[str]:
    """Checkpoint paths separated by ``:`` (fairseq's way) or ``,`` (the published code's way)."""
    return [path for path in re.split("[:,]", paths) if path]


def ensemble_dtype(options: Any) -> torch.dtype | None:
    """What ``--fp16-ensemble`` or ``--bf16-ensemble`` say, if one of them is given.

    Raises:
        UserError: both are.
    """
    given = [dtype for dtype, flag in _FLAGS.items() if getattr(options, flag[2:].replace("-", "_"))]
    if len(given) > 1:
        raise UserError(f"The members run in one precision: leave out {' or '.join(_FLAGS.values())}.")
    return given[0] if given else None


def ensemble_device(name: str) -> torch.device:
    """The device that ``--ensemble-device`` names.

    Raises:
        UserError: there is none.
    """
    try:
        device = torch.device(name)
        torch.ones(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = " ".join(str(error).split()).partition(". ")[0].rstrip(".")
        raise UserError(
            f"--ensemble-device is {name}, where nothing can be computed ({reason}); "
            "name a device of this machine, as in cpu or cuda:0, or leave it out."
        ) from error
    return device


def load_teacher(paths: str, task: Any, device: torch.device, dtype: torch.dtype | None = None) -> Teacher:
    """Load the members named in ``--ensemble-paths`` and check that they fit the student's task.

    Args:
        paths: of the checkpoints.
        task: the student's.
        device: where the members run.
        dtype: see :class:`Teacher`.

    Raises:
        UserError: a file is missing, a member is itself a Dirichlet student, or its languages or dictionaries are not the
            student's; it has an adaptive softmax.
    """
    # A plain translation task, since what the student's task does to a model is not meant for members.
    member_task = TranslationTask(task.cfg, task.source_dictionary, task.target_dictionary)
    members = []
    for path in split_paths(paths):
        if not os.path.isfile(path):
            raise UserError(
                f"There is no ensemble member at {path}; mend --ensemble-paths (paths separated by ':' or ',')."
            )
        state = checkpoint_utils.load_checkpoint_to_cpu(path)
        check_member(path, state, task)
        (member,), _ = checkpoint_utils.load_model_ensemble([path], task=member_task, state=state)
        refuse_adaptive_softmax([member], path)
        members.append(member)
    if not members:
        raise UserError(
            "Distillation needs a teacher; give --ensemble-paths MEMBER1.pt:MEMBER2.pt:... or --stored-targets FILE."
        )
    if len(set(map(os.path.realpath, split_paths(paths)))) < len(members):
        logger.warning(
            "two members of the ensemble are the same model, so that it disagrees too little: "
            "the precision of the target is too high"
        )
    if len(members) == 1:
        logger.warning(
            "the ensemble has one member, which never disagrees with itself: "
            "the precision of the target is at its maximum everywhere"
        )
    logger.info("teacher: %d members%s", len(members), f" in {dtype}".replace("torch.", "") if dtype else "")
    return Teacher(members, device, dtype, split_paths(paths))


def check_member(path: str, state: dict[str, Any], task: Any) -> None:
    """Refuse a member that cannot teach this student, before any training.

    Raises:
        UserError: see :func:`load_teacher`.
    """
    if DirichletSettings.of_model(configuration(state).model) is not None:
        raise UserError(
            f"{path} is a Dirichlet student, not an ensemble member; take it out of --ensemble-paths."
        )
    check_fit(path, state, task)
    for side, language, dictionary in (
        ("encoder", task.cfg.source_lang, task.source_dictionary),
        ("decoder", task.cfg.target_lang, task.target_dictionary),
    ):
        embeddings = state["model"].get(f"{side}.embed_tokens.weight")
        if embeddings is not None and len(embeddings) != len(dictionary):
            raise UserError(
                f"The member {path} has {len(embeddings)} {language} symbols, the student's dictionary {len(dictionary)}; "
                "binarise the student's data with the members' dictionaries (fairseq-preprocess --srcdict --tgtdict)."
            )
