"""Checkpoints move between fairseq 0.12.2 and newer sources, and the encoder of 0.12.2 runs on a new torch.

fairseq 0.12.2 saves, with each encoder layer, a second copy of its weights for torch's fused layer.
"""

import argparse
from typing import Any

import pytest
import torch
from fairseq.data import Dictionary
from fairseq.models.transformer import TransformerModel, base_architecture
from fairseq.modules.transformer_layer import TransformerEncoderLayerBase

from ednd_nmt.compat.encoder_layers import FUSED_COPIES

IS_0_12_2 = "_load_from_state_dict" in vars(TransformerEncoderLayerBase)


@pytest.fixture
def model() -> Any:
    torch.manual_seed(0)
    dictionary = Dictionary()
    for number in range(12):
        dictionary.add_symbol(f"word{number}")
    args = argparse.Namespace(
        **{f"{side}_{name}": value for side in ("encoder", "decoder") for name, value in SIZES.items()}
    )
    base_architecture(args)
    task = argparse.Namespace(source_dictionary=dictionary, target_dictionary=dictionary)
    return TransformerModel.build_model(args, task).eval()


SIZES = {"layers": 2, "embed_dim": 16, "ffn_embed_dim": 24, "attention_heads": 2}


def without_copies(state: dict[str, Any]) -> dict[str, Any]:
    return {name: value.clone() for name, value in state.items() if name.split(".")[-1] not in FUSED_COPIES}


def with_copies(state: dict[str, Any]) -> dict[str, Any]:
    """The state as fairseq 0.12.2 would have saved it."""
    state = without_copies(state)
    for layer in ("encoder.layers.0", "encoder.layers.1"):
        attention = f"{layer}.self_attn"
        for kind in ("weight", "bias"):
            projections = [state[f"{attention}.{name}_proj.{kind}"] for name in "qkv"]
            state[f"{layer}.in_proj_{kind}"] = torch.cat(projections)
            state[f"{layer}.out_proj_{kind}"] = state[f"{attention}.out_proj.{kind}"].clone()
            for linear in ("fc1", "fc2"):
                state[f"{layer}.{linear}_{kind}"] = state[f"{layer}.{linear}.{kind}"].clone()
    return state


def output(model: Any) -> torch.Tensor:
    source = torch.tensor([[4, 5, 6, 7, 2], [1, 1, 8, 9, 2]])
    with torch.no_grad():
        return model(source, torch.tensor([5, 3]), torch.tensor([[2, 4, 5], [2, 6, 7]]))[0]


@pytest.mark.parametrize("written_by", [without_copies, with_copies], ids=["newer sources", "0.12.2"])
def test_strict_loading_gives_the_same_model(model: Any, written_by: Any) -> None:
    expected = output(model)
    state = written_by(model.state_dict())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    model.load_state_dict(state, strict=True)
    torch.testing.assert_close(output(model), expected, rtol=0, atol=0)


@pytest.mark.skipif(IS_0_12_2, reason="0.12.2 has these parameters")
def test_without_the_repair_newer_sources_refuse_a_checkpoint_of_0_12_2(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = with_copies(model.state_dict())
    repaired = TransformerEncoderLayerBase.upgrade_state_dict_named
    monkeypatch.setattr(TransformerEncoderLayerBase, "upgrade_state_dict_named", repaired.__wrapped__)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        model.load_state_dict(state, strict=True)


def test_other_unknown_parameters_are_still_refused(model: Any) -> None:
    state = with_copies(model.state_dict())
    state["encoder.layers.0.adapter"] = torch.zeros(1)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        model.load_state_dict(state, strict=True)


@pytest.mark.skipif(not IS_0_12_2, reason="only 0.12.2 uses the fused layer")
def test_without_the_repair_the_fused_layer_of_0_12_2_fails(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.load_state_dict(model.state_dict())
    monkeypatch.setattr(TransformerEncoderLayerBase, "can_use_fastpath", True)
    with pytest.raises(RuntimeError, match=r"[Mm]ask"):
        output(model)
