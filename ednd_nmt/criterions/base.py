"""What the distillation criterions share: teacher, chunked loss, and what is logged.

fairseq reads the types of a configuration's fields at run time and knows no postponed annotations.
"""

import logging
import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from fairseq.criterions import FairseqCriterion
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.logging import metrics
from fairseq.utils import get_perplexity
from omegaconf import II
from scipy.stats import rankdata
from torch import Tensor

from ednd_nmt.annealing import annealed
from ednd_nmt.chunked import DEFAULT_CHUNK_BUDGET_MIB, ProjectedLoss, projected_loss
from ednd_nmt.compiled import use_compiled_bodies
from ednd_nmt.errors import UserError, require_not_negative, require_positive
from ednd_nmt.finiteness import Examination
from ednd_nmt.last_layer import shows_last_layer
from ednd_nmt.objectives.core import Objective
from ednd_nmt.proxy import Concentration
from ednd_nmt.rows import select_rows

logger = logging.getLogger(__name__)

CONCENTRATIONS = ChoiceEnum(["mkl", "epkl", "mle"])
PRIOR_WEIGHTS = ChoiceEnum(["paper", "released"])

MEASURED = ("mkl", "epkl", "mutual_information", "precision")
"""Diagnostics of which both the teacher and the student have one, if the student is a Dirichlet."""


@dataclass
class DistillationCriterionConfig(FairseqDataclass):
    """Options of every distillation criterion."""

    target_concentration: CONCENTRATIONS = field(  # type: ignore[valid-type]
        default="mkl",
        metadata={"help": "how the precision of the target is found from the ensemble's disagreement"},
    )
    cross_entropy_weight: float = field(
        default=0.0,
        metadata={"help": "weight of a label-smoothed cross-entropy on the target tokens, mixed in"},
    )
    cross_entropy_updates: int = field(
        default=0,
        metadata={"help": "its weight falls linearly to 0 over this number of updates (default: it stays)"},
    )
    label_smoothing: float = field(default=0.0, metadata={"help": "smoothing of that cross-entropy"})
    chunk_budget_mib: float = field(
        default=DEFAULT_CHUNK_BUDGET_MIB,
        metadata={
            "help": "memory for the logits of student and teacher; more tokens are worked off in chunks"
        },
    )
    compile_objective: bool = field(
        default=False,
        metadata={
            "help": "run the objective and the teacher's statistics through torch.compile: several times faster, after a "
            "minute at the first update; eagerly, with a warning, where it does not work"
        },
    )
    diagnostics_interval: int = field(
        default=100,
        metadata={
            "help": "training batches from one look at the target's and the student's precision to the next"
        },
    )
    sentence_avg: bool = II("optimization.sentence_avg")


@dataclass
class ProxyCriterionConfig(DistillationCriterionConfig):
    """Options of the criterions with a proxy Dirichlet as target."""

    target_offset: float = field(
        default=1.0, metadata={"help": "added to the target's concentrations (paper: 1)"}
    )


class DistillationCriterion(FairseqCriterion):
    """A per-token objective between the student's logits and the ensemble's statistics, summed over the tokens.

    The loss is in nats per token; ``nll_loss``, in base 2 as everywhere in fairseq, is that of the target tokens and is
    evaluated in validation. Padding counts nowhere. Neither logits nor statistics ever exist for the whole batch, see
    :func:`ednd_nmt.chunked.projected_loss`.
    """

    trains_dirichlet = True
    """Whether the student becomes a Dirichlet model (else a plain softmax)."""

    def __init__(self, cfg: DistillationCriterionConfig, task: Any) -> None:
        super().__init__(task)
        if not hasattr(type(task), "teacher"):  # the class', since asking the task would load the members
            raise UserError("Distillation criterions need --task distillation with --ensemble-paths.")
        self.cfg = cfg
        require_not_negative(
            **{
                "--cross-entropy-weight": cfg.cross_entropy_weight,
                "--cross-entropy-updates": cfg.cross_entropy_updates,
            }
        )
        require_positive(**{"--diagnostics-interval": cfg.diagnostics_interval})
        if not 0 <= cfg.label_smoothing <= 1:
            raise UserError(f"--label-smoothing is {cfg.label_smoothing:g}; give a number from 0 to 1.")
        if not 0 < cfg.chunk_budget_mib < math.inf:
            raise UserError(
                f"--chunk-budget-mib is {cfg.chunk_budget_mib:g}; give a number above 0, as in 512."
            )
        require_not_negative(**{"--target-offset": getattr(cfg, "target_offset", 0.0)})
        if cfg.cross_entropy_weight == 0:
            for option in ("label_smoothing", "cross_entropy_updates"):
                if getattr(cfg, option):
                    _warn_of_no_effect(option, "without --cross-entropy-weight")
        if self.trains_dirichlet:
            self.offset: float = task.use_dirichlet_student().offset
        # str: fairseq's choices are enumerations on one path and plain strings on another
        self.concentration = cast(Concentration, str(cfg.target_concentration))
        if cfg.compile_objective:
            use_compiled_bodies()
        self._teacher = task.teacher  # loaded and checked here, before any training
        self._batches = 0
        self._num_updates = 0
        self._diagnostics: list[str] = []  # names of what is logged at a look, once there was one in training

    @classmethod
    def build_criterion(cls, cfg: Any, task: Any) -> "DistillationCriterion":
        """As fairseq does, with the whole configuration as one argument."""
        return cls(cfg, task)

    def set_num_updates(self, num_updates: int) -> None:
        """Told by the task before every training batch, also after a training is resumed."""
        self._num_updates = num_updates

    def annealed(self, start: float, end: float, updates: int) -> float:
        """What has fallen from ``start`` to ``end`` at this update; ``end`` in validation, so that validations compare."""
        return annealed(start, end, updates, self._num_updates) if self.training else end

    @property
    def temperature(self) -> float:
        """By which the members' logits are divided at this update."""
        return 1.0

    @property
    def cross_entropy_weight(self) -> float:
        """Weight of the cross-entropy at this update."""
        weight = self.cfg.cross_entropy_weight
        if self.cfg.cross_entropy_updates > 0:
            return self.annealed(weight, 0.0, self.cfg.cross_entropy_updates)
        return weight

    @abstractmethod
    def objective(self) -> Objective:
        """The objective of a chunk of tokens at this update, see :class:`ednd_nmt.objectives.core.Objective`."""

    def forward(
        self, model: Any, sample: dict[str, Any], reduce: bool = True
    ) -> tuple[Tensor, Any, dict[str, Any]]:
        """Loss of a batch (a sum over its tokens), its sample size, and what is logged.

        Raises:
            UserError: the model has no decoder with a linear output projection.
        """
        look_closely = (
            not self.training or not self._diagnostics or self._batches % self.cfg.diagnostics_interval == 0
        )
        self._batches += self.training
        result = self._evaluate(model, sample, diagnostics=look_closely)
        target = sample["target"]
        sample_size = target.size(0) if self.cfg.sentence_avg else sample["ntokens"]
        logged = {
            "loss": result.loss.detach(),
            "ntokens": sample["ntokens"],
            "nsentences": target.size(0),
            "sample_size": sample_size,
        }
        if result.token_cross_entropy is not None and not self.training:
            logged["nll_loss"] = result.token_cross_entropy.sum()
        if look_closely:
            sums = diagnostic_sums(result)
            logged.update(sums)
            if self.training:
                self._diagnostics = list(sums)
        else:  # of the batches of an update fairseq sums what the first of them logs
            logged.update(dict.fromkeys(self._diagnostics, 0))
        return result.loss, sample_size, logged

    def _evaluate(
        self, model: Any, sample: dict[str, Any], diagnostics: bool, examination: Examination | None = None
    ) -> ProjectedLoss:
        """The loss of a batch; its intermediate values are shown to an ``examination``, if there is one."""
        target = sample["target"]
        positions = target.ne(self.padding_idx).flatten().nonzero().squeeze(1)
        projection = output_projection(model)
        features = select_rows(model(**sample["net_input"], features_only=True)[0], positions)
        teacher = self._teacher.decode(sample, positions)
        objective, cross_entropy_weight = self.objective(), self.cross_entropy_weight
        if examination is not None:
            examination.look("the student's last hidden layer", features)
            teacher = examination.of_teacher(teacher, self._teacher.names, self._teacher.remedy)
            objective = examination.of_objective(objective)
        return projected_loss(
            features,
            projection.weight,
            projection.bias,
            teacher,
            objective,
            targets=select_rows(target, positions) if cross_entropy_weight or not self.training else None,
            cross_entropy_weight=cross_entropy_weight,
            label_smoothing=self.cfg.label_smoothing if self.training else 0.0,
            member_temperature=self.temperature,
            chunk_budget_mib=self.cfg.chunk_budget_mib,
            diagnostics=diagnostics,
        )

    @torch.no_grad()
    def examine(self, model: Any, sample: dict[str, Any], examination: Examination) -> None:
        """Look for the first tensor that is not finite: weights of members and student, then the way to the batch's loss.

        Raises:
            UserError: there is one.
        """
        for name, member in zip(self._teacher.names, self._teacher.members, strict=True):
            examination.weights(name, member, self._teacher.remedy)
        examination.weights("the student", model)
        result = self._evaluate(model, sample, diagnostics=False, examination=examination)
        examination.look("the sum over the tokens", result.loss)

    @classmethod
    def reduce_metrics(cls, logging_outputs: Sequence[dict[str, Any]]) -> None:
        """Log what the workers saw, through fairseq's meters; the loss stays on its device until it is printed."""

        def total(name: str) -> Any:
            return sum(log.get(name, 0) for log in logging_outputs)

        sample_size, ntokens = total("sample_size"), total("ntokens")
        metrics.log_scalar("loss", total("loss") / sample_size, sample_size, round=3)
        if any("nll_loss" in log for log in logging_outputs):
            metrics.log_scalar("nll_loss", total("nll_loss") / ntokens / math.log(2), ntokens, round=3)
            metrics.log_derived("ppl", lambda meters: get_perplexity(meters["nll_loss"].avg))
        looked_at = total("diagnostic_tokens")
        if looked_at:
            names = {name for log in logging_outputs for name in log if name.startswith("diagnostic_")}
            for name in sorted(names - {"diagnostic_tokens"}):
                metrics.log_scalar(
                    name.removeprefix("diagnostic_"), total(name) / looked_at, looked_at, round=4
                )

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        """Everything logged is a sum."""
        return True


def _warn_of_no_effect(option: str, where: str) -> None:
    logger.warning("--%s has no effect %s", option.replace("_", "-"), where)


def output_projection(model: Any) -> torch.nn.Linear:
    """The linear layer that makes logits of the decoder's features.

    Raises:
        UserError: the model has none (adaptive softmax, or another family of models), or torch would take it for unused.
    """
    decoder = getattr(model, "decoder", None)
    projection = getattr(decoder, "output_projection", None)
    if not isinstance(projection, torch.nn.Linear) or not shows_last_layer(decoder):
        raise UserError(
            "Distillation needs a student whose decoder ends in one linear projection, as fairseq's Transformers do; "
            "leave out --adaptive-softmax-cutoff, or choose --arch transformer... or dirichlet_transformer..."
        )
    tied = projection.weight is getattr(getattr(decoder, "embed_tokens", None), "weight", None)
    # torch looks for what is unused below the features, where a projection of its own is not, and fails later.
    if getattr(model, "find_unused_parameters", False) and not tied:
        raise UserError(
            "--find-unused-parameters does not work with a student whose output projection is not its embeddings; "
            "leave it out, use --ddp-backend legacy_ddp, or give --share-decoder-input-output-embed."
        )
    return projection


def diagnostic_sums(result: ProjectedLoss) -> dict[str, float]:
    """Sums over tokens of the diagnostics, and of the rank correlations of student and teacher times the tokens."""
    columns = dict(result.diagnostics)
    if "target_precision" in columns:
        columns["teacher_precision"] = columns.pop("target_precision")
    tokens = len(result.token_loss)
    sums = {f"diagnostic_{name}": float(values.double().sum()) for name, values in columns.items()}
    for name in MEASURED:
        if f"student_{name}" in columns and f"teacher_{name}" in columns:
            correlation = rank_correlation(columns[f"student_{name}"], columns[f"teacher_{name}"])
            sums[f"diagnostic_{name}_spearman"] = correlation * tokens
    return {"diagnostic_tokens": tokens, **sums}


def rank_correlation(first: Tensor, second: Tensor) -> float:
    """Spearman's correlation of two columns [n]; 0 where it is not defined, as one of them is constant or n < 2.

    Never absent: fairseq sums what the workers log by position, so that all must log the same.
    """
    if len(first) < 2:
        return 0.0
    ranks = torch.tensor(rankdata(torch.stack([first, second]).double().cpu().numpy(), axis=1))
    correlation = torch.corrcoef(ranks)[0, 1]
    return float(correlation) if torch.isfinite(correlation) else 0.0
