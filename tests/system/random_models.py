"""Models with random weights on the toy data, for tests that are about what a search records, not about quality."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import torch

OTHER_ARCHITECTURES: dict[str, dict[str, Any]] = {
    "lstm": {  # whose attention comes by itself
        "decoder_embed_dim": 16, "encoder_hidden_size": 8, "decoder_hidden_size": 8, "decoder_out_embed_dim": 16,
        "share_all_embeddings": False, "criterion": "cross_entropy",
    },
    "lightconv": {  # shows no hidden layer
        "encoder_kernel_size_list": [3], "decoder_kernel_size_list": [3], "encoder_conv_type": "lightweight",
        "decoder_conv_type": "lightweight", "weight_softmax": True,
    },
}  # fmt: skip
"""Settings of small models that are no Transformers."""


class RandomModels:
    """A distillation task over the toy data and models with random weights, sharp enough to have opinions."""

    def __init__(self, data: Path, output: Path | None = None, **options: Any) -> None:
        from fairseq import options as fairseq_options
        from fairseq import tasks
        from fairseq.dataclass.utils import convert_namespace_to_omegaconf

        import ednd_nmt  # noqa: F401 - registers with fairseq

        flags = [str(data), "--task", "distillation", "--source-lang", "src", "--target-lang", "tgt"]
        if output is not None:
            flags += ["--uncertainty-output", str(output)]
        parser = fairseq_options.get_generation_parser()
        self.config = convert_namespace_to_omegaconf(
            fairseq_options.parse_args_and_arch(parser, [*flags, "--path", "none", *options.pop("flags", [])])
        )
        self.task = tasks.setup_task(self.config.task)
        self.task.load_dataset("test")

    def model(self, seed: int, arch: str = "transformer", scale: float = 3.0, **settings: Any) -> Any:
        """A model in evaluation mode, in float64 so that a comparison is about meaning and not about rounding."""
        from fairseq.models import ARCH_CONFIG_REGISTRY

        torch.manual_seed(seed)
        size = {
            "encoder_layers": 1, "decoder_layers": 1, "encoder_embed_dim": 16, "encoder_ffn_embed_dim": 32,
            "encoder_attention_heads": 2, "decoder_attention_heads": 2, "share_all_embeddings": True,
            "max_source_positions": 64, "max_target_positions": 64,
        }  # fmt: skip
        arguments = Namespace(arch=arch, **(size | OTHER_ARCHITECTURES.get(arch, {}) | settings))
        ARCH_CONFIG_REGISTRY[arch](arguments)
        model = self.task.build_model(arguments, from_checkpoint=True).double().eval()
        with torch.no_grad():
            projection = getattr(model.decoder, "output_projection", None) or model.decoder.fc_out
            projection.weight *= scale
        return model

    def batch(self, ids: list[int]) -> dict[str, Any]:
        dataset = self.task.dataset("test")
        return dataset.collater([dataset[index] for index in ids])
