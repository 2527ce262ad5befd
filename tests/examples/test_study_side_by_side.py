"""Members side by side in one Transformer: exact where their layer normalisations agree, and a start that training takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from grown_models import changed, logits, unshared
from toy_reversal import ToyReversal
from training import member

from ednd_nmt.safe_weights import read_state
from examples.study.side_by_side import main


@pytest.fixture(scope="module")
def first(toy: ToyReversal, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return member(toy.data, tmp_path_factory.mktemp("members") / "1.pt")


def renumbered(path: Path, output: Path) -> Path:
    """The same function by other weights, whose layer normalisations see the same means and variances: the units of the
    feed-forward layers in another order, values and keys of attention turned round, and the last normalisation scaled
    and shifted, so that the logits are others.
    """
    generator = torch.Generator().manual_seed(3)
    order = torch.randperm(32, generator=generator)
    sign = torch.where(torch.rand(16, generator=generator) < 0.5, -1.0, 1.0)

    def change(name: str, tensor: torch.Tensor) -> torch.Tensor:
        if ".fc1." in name:
            return tensor[order]
        if name.endswith("fc2.weight"):
            return tensor[:, order]
        if any(part in name for part in ("q_proj", "k_proj", "v_proj")):
            return (tensor.T * sign).T
        if name.endswith("out_proj.weight"):
            return tensor * sign
        if name.startswith("decoder.layers.0.final_layer_norm"):
            return tensor * 1.7 - 0.2
        return tensor

    return changed(path, output, change)


def test_the_logits_are_the_mean_of_the_members(
    first: Path, toy: ToyReversal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second, together = renumbered(first, tmp_path / "2.pt"), tmp_path / "together.pt"
    assert main([*map(str, (first, second, first)), "--output", str(together)]) == 0
    assert "3 encoders and 3 decoders side by side" in capsys.readouterr().out
    alone = [logits(path, toy) for path in (first, second)]
    assert (alone[0] - alone[1]).std() > 0.1
    torch.testing.assert_close(logits(together, toy), (2 * alone[0] + alone[1]) / 3, rtol=0, atol=3e-6)
    model = read_state(together)["cfg"]["model"]
    assert (model.encoder_embed_dim, model.decoder_ffn_embed_dim) == (48, 96)
    assert (model.encoder_attention_heads, model.decoder_attention_heads) == (6, 6)


@pytest.mark.parametrize("shared", [True, False])
def test_all_encoders_and_one_decoder(
    first: Path, toy: ToyReversal, tmp_path: Path, shared: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    if not shared:
        first = unshared(first, tmp_path / "1.pt")
    second, together = renumbered(first, tmp_path / "2.pt"), tmp_path / "together.pt"
    assert main([str(second), str(first), "--decoders", "1", "--output", str(together)]) == 0
    assert "2 encoders and 1 decoder side by side" in capsys.readouterr().out
    torch.testing.assert_close(logits(together, toy), logits(second, toy), rtol=0, atol=3e-6)
    state = read_state(together)
    model = state["cfg"]["model"]
    assert (model.encoder_embed_dim, model.decoder_embed_dim) == (32, 16)
    assert (model.share_all_embeddings, model.share_decoder_input_output_embed) == (False, True)
    assert state["model"]["encoder.embed_tokens.weight"].shape[1] == 32


@pytest.mark.parametrize("decoders", ["2", "1"])
def test_a_student_starts_from_it(first: Path, toy: ToyReversal, tmp_path: Path, decoders: str) -> None:
    """fairseq's own ``--finetune-from-model`` takes it with the options of its shape."""
    together = tmp_path / "together.pt"
    assert main([str(first), str(first), "--decoders", decoders, "--output", str(together)]) == 0
    shared = ("--share-all-embeddings",) if decoders == "2" else ("--share-decoder-input-output-embed",)
    width = str(16 * int(decoders))
    log = toy.run(
        "train", toy.data, "--source-lang", "src", "--target-lang", "tgt", "--task", "distillation",
        "--ensemble-paths", first, "--arch", "dirichlet_transformer", *shared, "--dropout", "0",
        "--encoder-layers", "1", "--encoder-embed-dim", "32", "--encoder-ffn-embed-dim", "64",
        "--encoder-attention-heads", "4", "--encoder-learned-pos",
        "--decoder-layers", "1", "--decoder-embed-dim", width, "--decoder-ffn-embed-dim", str(2 * int(width)),
        "--decoder-attention-heads", str(2 * int(decoders)), "--decoder-learned-pos",
        "--criterion", "rkl_dirichlet_proxy_distillation", "--optimizer", "sgd", "--lr", "1e-9", "--max-tokens", "500",
        "--max-update", "1", "--cpu", "--num-workers", "0", "--no-epoch-checkpoints",
        "--save-dir", tmp_path / "student", "--finetune-from-model", together,
    )  # fmt: skip
    assert "done training" in log
    student = tmp_path / "student" / "checkpoint_last.pt"
    torch.testing.assert_close(logits(student, toy), logits(first, toy), rtol=0, atol=1e-4)


def test_bad_input(first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "x.pt"

    def refused(*arguments: Any) -> str:
        assert main([*map(str, arguments), "--output", str(output)]) == 2
        assert not output.exists()
        return capsys.readouterr().err

    assert "from 1 to that of the members, 2" in refused(first, first, "--decoders", "0")
    assert "from 1 to that of the members, 2" in refused(first, first, "--decoders", "3")
    assert refused(first, tmp_path / "none.pt").count("error: ") == 1

    def smaller(name: str, tensor: torch.Tensor) -> torch.Tensor:
        return tensor[:-1] if name == "encoder.layers.0.fc1.bias" else tensor

    other = changed(first, tmp_path / "other.pt", smaller)
    assert "encoder.layers.0.fc1.bias is [31], not [32]" in refused(first, other)
    other = changed(first, other, encoder_attention_heads=4)
    assert "encoder_attention_heads = 4, the first member 2" in refused(first, other)
