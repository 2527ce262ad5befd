"""A student under fairseq's own trainer, in this process, with random members and batches that a test chooses."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from random_models import RandomModels
from torch import Tensor

import ednd_nmt  # noqa: F401 - registers with fairseq

CRITERION = "rkl_dirichlet_proxy_distillation"


class Training:
    """Two random members and a small student, without dropout; everything is the same in every object but its flags."""

    def __init__(self, data: Path, *flags: str, criterion: str = CRITERION, optimizer: str = "sgd") -> None:
        from fairseq import options, tasks
        from fairseq.dataclass.utils import convert_namespace_to_omegaconf
        from fairseq.distributed.utils import distributed_init
        from fairseq.trainer import Trainer

        from ednd_nmt.teacher import Teacher

        arguments = [
            str(data), "--task", "distillation", "--source-lang", "src", "--target-lang", "tgt",
            "--arch", "dirichlet_transformer", "--encoder-layers", "1", "--decoder-layers", "1",
            "--encoder-embed-dim", "16", "--encoder-ffn-embed-dim", "32", "--encoder-attention-heads", "2",
            "--decoder-attention-heads", "2", "--share-all-embeddings", "--dropout", "0", "--criterion", criterion,
            "--optimizer", optimizer, "--lr", "0.01", "--max-tokens", "1000", "--cpu", *flags,
        ]  # fmt: skip
        parser = options.get_training_parser()
        self.config = convert_namespace_to_omegaconf(options.parse_args_and_arch(parser, arguments))
        self.config.common.tpu = False  # fairseq takes --bf16 without a GPU for the wish to have a TPU
        if self.config.distributed_training.distributed_world_size > 1:
            distributed_init(self.config)
        self.task = tasks.setup_task(self.config.task)
        self.task.load_dataset("test")
        members = RandomModels(data)
        self.task._teacher = Teacher(
            [members.model(seed).float() for seed in (1, 2)], torch.device("cpu"), paths=["1.pt", "2.pt"]
        )
        torch.manual_seed(3)
        self.model = self.task.build_model(self.config.model)
        self.criterion = self.task.build_criterion(self.config.criterion)
        self.trainer = Trainer(self.config, self.task, self.model, self.criterion)

    def batch(self, ids: list[int]) -> dict[str, Any]:
        dataset = self.task.dataset("test")
        return dataset.collater([dataset[index] for index in ids])

    def update(self, *batches: list[int]) -> Any:
        """One update by the gradient of these batches together."""
        return self.trainer.train_step([self.batch(ids) for ids in batches])

    def parameters(self) -> Tensor:
        """All parameters of the student in one vector."""
        return torch.cat(
            [parameter.detach().float().flatten() for parameter in self.trainer.model.parameters()]
        )

    def gradient(self) -> Tensor:
        """The gradient of the last update in one vector; in mixed precision, that of the float32 parameters."""
        parameters = getattr(self.trainer.optimizer, "fp32_params", None) or self.trainer.model.parameters()
        return torch.cat([parameter.grad.float().flatten() for parameter in parameters])

    def save(self, path: Path) -> None:
        self.trainer.consolidate_optimizer()  # fairseq's own order
        self.trainer.save_checkpoint(str(path), {"train_iterator": {"epoch": 1}})


def member(data: Path, path: Path, seed: int = 1) -> Path:
    """A checkpoint of fairseq's own trainer with the random weights of this seed, as an ensemble has as its members."""
    training = Training(data, "--arch", "transformer", criterion="forward_kl_mean_distillation")
    training.model.load_state_dict(RandomModels(data).model(seed).state_dict())
    training.save(path)
    return path


def main(data: str, output: str, ids: str, *flags: str) -> None:
    """One process of several: update once with the sentences ``ids``; gradient and parameters go to ``output``."""
    training = Training(Path(data), *flags)
    training.update([int(number) for number in ids.split(",")])
    torch.save((training.gradient(), training.parameters()), output)


if __name__ == "__main__":
    main(*sys.argv[1:])
