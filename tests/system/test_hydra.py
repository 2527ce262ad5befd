"""The configuration files of examples/hydra are the command lines of the README."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_reversal import ToyReversal
from training import member

import ednd_nmt  # noqa: F401 - registers with fairseq

CONFIGURATIONS = Path(__file__).resolve().parents[2] / "examples" / "hydra"
README = Path(__file__).resolve().parents[2] / "README.md"
PATHS = {
    "--ensemble-paths $members": "--ensemble-paths 1.pt:2.pt",
    "transfer-bin": "data-bin",
    "--save-dir members/$seed": "--save-dir out",
    "--save-dir student": "--save-dir out",
    "$seed": "1",
}


def command_line(of: str) -> str:
    """The arguments of the first ``ednd-nmt train`` below a comment of the README's shell blocks."""
    text = README.read_text(encoding="utf-8").partition(f"\n# {of}")[2].partition("ednd-nmt train ")[2]
    line = text.replace("\\\n", " ").partition("\n")[0]
    for written, here in PATHS.items():
        line = line.replace(written, here)
    return line


COMMAND_LINES = {"member": command_line("2. the members"), "student": command_line("4. the student")}
OVERRIDES = {
    "member": ["task.data=data-bin", "checkpoint.save_dir=out"],
    "student": [
        "task.data=data-bin",
        "task.ensemble_paths=1.pt:2.pt",
        "checkpoint.save_dir=out",
        "checkpoint.finetune_from_model=members/1/checkpoint_best.pt",
    ],
}


def plain(node: Any) -> dict[str, Any]:
    from omegaconf import OmegaConf

    if isinstance(node, argparse.Namespace):
        return vars(node)
    found: dict[str, Any] = OmegaConf.to_container(node, resolve=True, enum_to_str=True)
    return found


@pytest.mark.parametrize("name", ["member", "student"])
def test_a_file_says_what_the_command_line_says(name: str) -> None:
    from fairseq import options
    from fairseq.dataclass.initialize import add_defaults, hydra_init
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf
    from fairseq.models import ARCH_CONFIG_REGISTRY
    from hydra import compose, initialize_config_dir

    parser = options.get_training_parser()
    expected = convert_namespace_to_omegaconf(
        options.parse_args_and_arch(parser, COMMAND_LINES[name].split())
    )
    hydra_init(name)
    with initialize_config_dir(str(CONFIGURATIONS)):
        found = compose(name, OVERRIDES[name])
    add_defaults(found)
    groups = ["common", "task", "criterion", "optimizer", "lr_scheduler", "optimization", "dataset", "checkpoint",
              "distributed_training"]  # fmt: skip
    for group in groups:
        assert plain(found[group]) == plain(expected[group]), group
    architecture = argparse.Namespace(**plain(found.model))
    ARCH_CONFIG_REGISTRY[architecture._name](architecture)
    assert vars(architecture).items() <= plain(expected.model).items()


@pytest.mark.slow(seconds=30)
def test_the_same_student_comes_of_it(toy: ToyReversal, tmp_path: Path) -> None:
    model = member(toy.data, tmp_path / "member.pt")
    size = {"encoder_layers": 1, "decoder_layers": 1, "encoder_embed_dim": 16, "encoder_ffn_embed_dim": 32,
            "encoder_attention_heads": 2, "decoder_attention_heads": 2}  # fmt: skip
    flags = [word for name, value in size.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    toy.run(
        "train", toy.data, *COMMAND_LINES["student"].split()[1:], *flags, "--arch", "dirichlet_transformer",
        "--ensemble-paths", f"{model}:{model}", "--finetune-from-model", model,
        "--max-tokens", "300", "--max-update", "3", "--warmup-updates", "2",
        "--seed", "1", "--cpu", "--num-workers", "0", "--disable-validation", "--save-dir", tmp_path / "line",
    )  # fmt: skip
    toy.run(
        "hydra-train", "--config-dir", CONFIGURATIONS, "--config-name", "student", f"task.data={toy.data}",
        f"task.ensemble_paths={model}:{model}", f"checkpoint.finetune_from_model={model}",
        "model._name=dirichlet_transformer",
        *(f"+model.{name}={value}" for name, value in size.items()), "dataset.max_tokens=300",
        "optimization.max_update=3", "lr_scheduler.warmup_updates=2", "common.cpu=true", "dataset.num_workers=0",
        "dataset.disable_validation=true", f"checkpoint.save_dir={tmp_path / 'file'}",
    )  # fmt: skip
    line, file = (
        torch.load(tmp_path / name / "checkpoint_last.pt", weights_only=False) for name in ("line", "file")
    )
    assert line["model"].keys() == file["model"].keys()
    for name, parameter in line["model"].items():
        assert torch.equal(file["model"][name], parameter), name
    assert file["cfg"]["model"]["dirichlet_offset"] == 1.0
    toy.generate(
        [tmp_path / "file" / "checkpoint_last.pt"], "test", tmp_path / "uncertainty.jsonl", "--max-len-b", "3"
    )
    assert (tmp_path / "uncertainty.jsonl").exists()
