"""The task ``distillation``: translation with a teacher while training, with uncertainty while generating.

fairseq reads the types of a configuration's fields at run time and knows no postponed annotations and no ``X | None``.
"""

import logging
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional

import torch
from fairseq.dataclass import ChoiceEnum
from fairseq.tasks import register_task
from fairseq.tasks.translation import TranslationConfig
from fairseq.utils import resolve_max_positions, split_paths
from omegaconf import II

from ednd_nmt.compat.nan_detector import is_searching
from ednd_nmt.errors import UserError
from ednd_nmt.finiteness import Examination, sentences_of
from ednd_nmt.formats import DEFAULT_MEASURE, FORMATS
from ednd_nmt.records import WEIGHTINGS
from ednd_nmt.search_options import COMBINATIONS, DECODINGS
from ednd_nmt.settings import DirichletSettings, is_student_architecture
from ednd_nmt.stored_targets import StoredTargets
from ednd_nmt.tasks.recording import RecordingTask

if TYPE_CHECKING:
    from ednd_nmt.teacher import StoredTeacher, Teacher

logger = logging.getLogger(__name__)


@dataclass
class DistillationConfig(TranslationConfig):
    """Options of the task: the teacher (training) and the uncertainty file (generation)."""

    ensemble_paths: Optional[str] = field(
        default=None, metadata={"help": "checkpoints of the teacher's members, separated by ':' or ','"}
    )
    stored_targets: Optional[str] = field(
        default=None,
        metadata={
            "help": "file of `ednd-nmt store` in place of --ensemble-paths: the members are not run while training"
        },
    )
    fp16_ensemble: bool = field(default=False, metadata={"help": "run the teacher's members in float16"})
    bf16_ensemble: bool = field(default=False, metadata={"help": "run the teacher's members in bfloat16"})
    ensemble_device: Optional[str] = field(
        default=None,
        metadata={
            "help": "where the teacher's members run, as in cpu or cuda:1 (default: the student's device)"
        },
    )
    model_offset: Optional[float] = field(
        default=None,
        metadata={
            "help": "added to exp(logits) of a stock --arch to give concentrations (default: 1); "
            "dirichlet_transformer has its own and refuses another"
        },
    )
    uncertainty_output: Optional[str] = field(
        default=None,
        metadata={
            "help": "write every hypothesis with its token- and sequence-level uncertainties to this file"
        },
    )
    uncertainty_format: str = field(
        default="jsonl",
        metadata={
            "help": f"of --uncertainty-output: {', '.join(FORMATS)}, or one of your own; jsonl holds everything and is what "
            "ednd-nmt evaluate reads"
        },
    )
    uncertainty_measure: str = field(
        default=DEFAULT_MEASURE,
        metadata={"help": "the one measure that the formats text and shifts have room for"},
    )
    uncertainty_weighting: ChoiceEnum(list(WEIGHTINGS)) = field(  # type: ignore[valid-type]
        default="posterior",
        metadata={
            "help": "how a sentence's uncertainty weighs its n-best hypotheses; posterior: softmax(ln P / T)"
        },
    )
    uncertainty_temperature: float = field(default=1.0, metadata={"help": "T of the posterior weighting"})
    dirichlet_decoding: ChoiceEnum(list(DECODINGS)) = field(  # type: ignore[valid-type]
        default="mode",
        metadata={"help": "search with the mode (as published) or the mean of a student's Dirichlet"},
    )
    uncertainty_offset: Optional[float] = field(
        default=None,
        metadata={
            "help": "of a student's concentrations in every measure, in place of the model's own; with 0 the total "
            "uncertainty is that of softmax(z), without the tail that the offset adds"
        },
    )
    ensemble_combination: ChoiceEnum(list(COMBINATIONS)) = field(  # type: ignore[valid-type]
        default="pe",
        metadata={
            "help": "how several models search and measure: pe, product of expectations (members weigh "
            "alike at every token), or ep, expectation of products (members weigh as likely as they find the prefix)"
        },
    )
    uncertainty_penalty: float = field(
        default=0.0,
        metadata={"help": "lower a beam step's log-probabilities by this much per unit of --penalty-measure"},
    )
    penalty_measure: str = field(
        default="MI",
        metadata={"help": "token-level measure that --uncertainty-penalty acts on: TU, DU, MI, EPKL or MKL"},
    )
    compile_measures: bool = field(
        default=False,
        metadata={
            "help": "compute the measures of a search through torch.compile: faster, after a minute at the first batch; "
            "eagerly, with a warning, where it does not work"
        },
    )
    raw_source: Optional[str] = field(
        default=None,
        metadata={
            "help": "text file whose lines stand as sources in the uncertainty file, in place of the joined pieces"
        },
    )
    raw_reference: Optional[str] = field(
        default=None,
        metadata={
            "help": "text file whose lines stand as references in the uncertainty file, in place of the joined pieces"
        },
    )
    fp16: bool = II("common.fp16")
    cpu: bool = II("common.cpu")
    num_shards: int = II("dataset.num_shards")
    shard_id: int = II("dataset.shard_id")
    post_process: Optional[str] = II("common_eval.post_process")


@register_task("distillation", dataclass=DistillationConfig)
class DistillationTask(RecordingTask):
    """fairseq's translation task with a teacher for the criterions of this package, and a search that records."""

    cfg: DistillationConfig

    def __init__(self, cfg: DistillationConfig, src_dict: Any, tgt_dict: Any) -> None:
        super().__init__(cfg, src_dict, tgt_dict)
        self.student: DirichletSettings | None = None
        self._student_config: Any = None
        self._teacher: Teacher | StoredTeacher | None = None
        self._in_training = False

    @classmethod
    def load_dictionary(cls, filename: str) -> Any:
        """fairseq's dictionary.

        Raises:
            UserError: the file is none.
        """
        try:
            return super().load_dictionary(filename)
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split()).partition(". ")[0]
            raise UserError(
                f"{filename} is no dictionary of fairseq ({reason}); binarise the data again."
            ) from error

    def load_dataset(self, split: str, *args: Any, **kwargs: Any) -> None:
        """fairseq's data set; with ``--stored-targets``, batches carry the stored targets of their tokens.

        Raises:
            UserError: the stored targets are not those of this data set.
        """
        super().load_dataset(split, *args, **kwargs)
        if self.cfg.stored_targets is not None:
            from ednd_nmt.stored_dataset import StoredTargetsDataset

            dictionary = self.target_dictionary
            self.datasets[split] = StoredTargetsDataset(
                self.datasets[split], self.cfg.stored_targets, split, len(dictionary), dictionary.pad()
            )

    @property
    def teacher(self) -> "Teacher | StoredTeacher":
        """The ensemble of ``--ensemble-paths``, loaded when it is first asked for, or what was stored of it.

        Raises:
            UserError: there is none, or it does not fit (see :func:`ednd_nmt.teacher.load_teacher`).
        """
        # Here and below: modules that import fairseq at their head wait until it is there, so that each of them may be
        # the first of all to be imported.
        from ednd_nmt.teacher import StoredTeacher, ensemble_device, ensemble_dtype, load_teacher

        if self._teacher is None and self.cfg.stored_targets is not None:
            if self.cfg.ensemble_paths is not None:
                raise UserError(
                    "--stored-targets stands in place of the members; leave out --ensemble-paths."
                )
            if len(split_paths(self.cfg.data)) > 1:
                raise UserError(
                    "--stored-targets are those of one folder of data, and there are several, one for each epoch; give one."
                )
            for option in ("fp16_ensemble", "bf16_ensemble", "ensemble_device"):
                if getattr(self.cfg, option):
                    logger.warning(
                        "--%s has no effect with --stored-targets: no member is run", option.replace("_", "-")
                    )
            with StoredTargets(self.cfg.stored_targets) as file:
                self._teacher = StoredTeacher(file.tail)
        if self._teacher is None:
            device = torch.device("cuda" if torch.cuda.is_available() and not self.cfg.cpu else "cpu")
            if self.cfg.ensemble_device is not None:
                device = ensemble_device(self.cfg.ensemble_device)
            dtype = ensemble_dtype(self.cfg)
            self._teacher = load_teacher(self.cfg.ensemble_paths or "", self, device, dtype)
        return self._teacher

    def max_positions(self) -> Any:
        """The longest source and target: fairseq's limits, and while training those of the teacher's members, too."""
        own = super().max_positions()
        return own if self._teacher is None else resolve_max_positions(own, self._teacher.max_positions())

    def build_model(self, cfg: Any, from_checkpoint: bool = False) -> Any:
        """Build a model and note what its logits mean.

        Raises:
            UserError: the checkpoint of a student does not say what its logits mean; an option of the search is given while
                training.
        """
        # Before fairseq builds the search of --eval-bleu, which knows nothing yet of what the logits mean.
        if not from_checkpoint and (given := self._options_of_the_search()):
            raise UserError(f"{given[0]} belongs to fairseq-generate; leave it out.")
        if from_checkpoint and is_student_architecture(cfg) and DirichletSettings.of_model(cfg) is None:
            raise UserError(
                "The checkpoint of a Dirichlet student lacks dirichlet_offset in its settings, without which its "
                "concentrations are unknown; use the checkpoint as it was trained, or train it again."
            )
        model = super().build_model(cfg, from_checkpoint)
        model.dirichlet = DirichletSettings.of_model(cfg)
        self._in_training |= not from_checkpoint
        # The student comes first, in fairseq-validate from a checkpoint; members follow when the teacher is asked for.
        if not from_checkpoint or self._student_config is None:
            self.student, self._student_config = model.dirichlet, cfg
        return model

    def use_dirichlet_student(self) -> DirichletSettings:
        """Settle the concentrations of the model in training, and see to it that its checkpoints record them.

        Called by the criterions that train a Dirichlet; a stock architecture becomes a student here, as in the paper's
        commands (``--arch transformer_wmt_en_de_big --model-offset 1``).

        Raises:
            UserError: ``--model-offset`` contradicts the model's own.
        """
        if self.student is None:
            self.student = DirichletSettings(1.0 if self.cfg.model_offset is None else self.cfg.model_offset)
            self.student.write_to(self._student_config)
        self.student.check_request(self.cfg.model_offset)
        return self.student

    def build_criterion(self, cfg: Any) -> Any:
        """fairseq's criterion.

        Raises:
            UserError: an uncertainty file is asked for while training; a Dirichlet student would be trained by a criterion
                that trains none.
        """
        if self.cfg.uncertainty_output is not None:
            raise UserError("--uncertainty-output belongs to fairseq-generate; leave it out.")
        criterion = super().build_criterion(cfg)
        if not getattr(criterion, "trains_dirichlet", False):
            name = getattr(cfg, "_name", type(criterion).__name__)
            if self.student is not None and self._in_training:
                raise UserError(
                    f"The criterion {name} says nothing about concentrations, so that the uncertainties of a "
                    "dirichlet_transformer trained by it would mean nothing; choose a distillation criterion, "
                    "or --arch transformer_... for an ordinary model."
                )
            if self.student is None and self.cfg.model_offset is not None:
                logger.warning("--model-offset has no effect: the criterion %s trains no Dirichlet", name)
        for option in ("ensemble_paths", "stored_targets"):
            if self._teacher is None and getattr(self.cfg, option) is not None:
                logger.warning(
                    "--%s has no effect: the criterion %s has no teacher",
                    option.replace("_", "-"),
                    getattr(cfg, "_name", None),
                )
        return criterion

    def train_step(
        self,
        sample: Any,
        model: Any,
        criterion: Any,
        optimizer: Any,
        update_num: int,
        ignore_grad: bool = False,
    ) -> Any:
        """fairseq's step; a criterion that anneals something is told the number of updates done before.

        fairseq repeats the batches of an update whose gradient is not finite, to say why. Here a criterion of this package
        is asked for the reason then, and only then.

        Raises:
            UserError: the reason.
        """
        if hasattr(criterion, "set_num_updates"):
            criterion.set_num_updates(update_num)
        examination = None
        if hasattr(criterion, "examine") and is_searching(getattr(model, "decoder", model)):
            examination = Examination(f"{_batch(sample)} at update {update_num + 1}")
            criterion.examine(model, sample, examination)
        result = super().train_step(sample, model, criterion, optimizer, update_num, ignore_grad)
        if examination is not None:
            examination.gradients("the student", model)
        return result

    def valid_step(self, sample: Any, model: Any, criterion: Any) -> Any:
        """fairseq's step.

        Raises:
            UserError: the loss is no finite number; the sentence says why.
        """
        result = super().valid_step(sample, model, criterion)
        if hasattr(criterion, "examine") and not math.isfinite(result[0]):
            criterion.examine(model, sample, Examination(f"{_batch(sample)} of the validation set"))
        return result

    def check_start(self, path: str, state: dict[str, Any]) -> None:
        """Asked before a training goes on or begins with a checkpoint (:mod:`ednd_nmt.compat.checkpoints`).

        Raises:
            UserError: the student in it has other concentrations than the one that is trained.
        """
        from ednd_nmt.published import settings_of_checkpoint

        found = settings_of_checkpoint(state)
        if self.student is not None and found is not None and found != self.student:
            own = is_student_architecture(self._student_config)
            raise UserError(
                f"The student in {path} has the concentrations exp(z) + {found.offset:g}, the one that is to be trained "
                f"exp(z) + {self.student.offset:g}; give --{'dirichlet' if own else 'model'}-offset {found.offset:g}."
            )

    def check_checkpoint(self, path: str, state: dict[str, Any]) -> None:
        """Asked before a checkpoint becomes a model (:mod:`ednd_nmt.compat.checkpoints`).

        Raises:
            UserError: it has other languages or dictionaries (see :func:`ednd_nmt.checkpoint_fit.check_fit`).
        """
        from ednd_nmt.checkpoint_fit import check_fit

        check_fit(path, state, self)


def _batch(sample: Any) -> str:
    """Names a batch by its sentences, the beginning of a sentence of our own."""
    return f"The batch of {sample['ntokens']} target tokens with {sentences_of(sample)}"
