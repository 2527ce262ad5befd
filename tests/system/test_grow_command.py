"""``ednd-nmt grow``: wider Transformers that compute what their members compute, and that fairseq trains on."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from grown_models import KINDS, logits, same_statistics, task_of, write_member
from toy_reversal import ToyReversal

from ednd_nmt.cli import main
from ednd_nmt.safe_weights import read_state, write_checkpoint


def grow(*arguments: Any) -> int:
    return main(["grow", *map(str, arguments)])


def model_of(path: Path) -> Any:
    return read_state(path)["cfg"]["model"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_logits_are_the_mean_of_the_members(
    kind: str, toy: ToyReversal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = write_member(toy, tmp_path / "1.pt", **KINDS[kind])
    second, together = same_statistics(first, tmp_path / "2.pt"), tmp_path / "together.pt"
    assert grow(first, second, first, "--output", together) == 0
    assert "3 encoders and 3 decoders side by side" in capsys.readouterr().out
    alone = [logits(path, toy) for path in (first, second)]
    assert (alone[0] - alone[1]).std() > 0.1
    torch.testing.assert_close(logits(together, toy), (2 * alone[0] + alone[1]) / 3, rtol=0, atol=1e-5)
    model = model_of(together)
    assert (model.encoder_embed_dim, model.decoder_ffn_embed_dim) == (48, 96)
    assert (model.encoder_attention_heads, model.decoder_attention_heads) == (6, 6)


def test_a_member_of_fairseqs_hydra_command(toy: ToyReversal, tmp_path: Path) -> None:
    """Its settings are a mapping, without positions where the file had none: they are then fairseq's default."""
    first, wider = write_member(toy, tmp_path / "1.pt", **KINDS["plain"]), tmp_path / "wider.pt"
    state = torch.load(first, weights_only=False)
    settings = vars(state["cfg"]["model"])
    for side in ("source", "target"):
        del settings[f"max_{side}_positions"]
    state["cfg"]["model"] = settings
    torch.save(state, tmp_path / "hydra.pt")
    assert grow(tmp_path / "hydra.pt", "--output", wider) == 0
    assert model_of(wider).encoder_embed_dim == 32
    assert read_state(wider)["model"]["encoder.embed_positions.weight"].shape == (2 + 1024, 32)
    torch.testing.assert_close(logits(wider, toy), logits(first, toy), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["plain", "two tables", "normalised before"])
def test_all_encoders_and_one_decoder(
    kind: str, toy: ToyReversal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = write_member(toy, tmp_path / "1.pt", **KINDS[kind])
    second, together = same_statistics(first, tmp_path / "2.pt"), tmp_path / "together.pt"
    assert grow(second, first, "--decoders", 1, "--output", together) == 0
    assert "2 encoders and 1 decoder side by side" in capsys.readouterr().out
    torch.testing.assert_close(logits(together, toy), logits(second, toy), rtol=0, atol=1e-5)
    state = read_state(together)
    model = state["cfg"]["model"]
    assert (model.encoder_embed_dim, model.decoder_embed_dim) == (32, 16)
    assert not model.share_all_embeddings
    assert state["model"]["encoder.embed_tokens.weight"].shape[1] == 32


@pytest.mark.parametrize(("kind", "copies"), [("plain", 1), *((kind, 3) for kind in KINDS)])
def test_copies_compute_what_one_does(
    kind: str, copies: int, toy: ToyReversal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    narrow = write_member(toy, tmp_path / "narrow.pt", **KINDS[kind])
    wider = tmp_path / "wider.pt"
    assert grow(narrow, "--copies", copies, "--output", wider) == 0
    assert f"in layers {copies} times as wide" in capsys.readouterr().out
    expected = logits(narrow, toy)
    assert expected.std() > 0.1
    torch.testing.assert_close(logits(wider, toy), expected, rtol=0, atol=1e-5)
    model = model_of(wider)
    assert (model.encoder_embed_dim, model.decoder_ffn_embed_dim) == (16 * copies, 32 * copies)
    assert (model.encoder_attention_heads, model.decoder_attention_heads) == (2 * copies, 2 * copies)


@pytest.mark.slow(seconds=10)
@pytest.mark.parametrize(
    ("kind", "decoders"),
    [("plain", 1), ("plain", 2), ("normalised before", 2), ("embeddings normalised", 1)],
)
def test_a_student_starts_with_the_options_that_are_printed(
    kind: str, decoders: int, toy: ToyReversal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """fairseq's own ``--finetune-from-model`` takes it, and a step of no length leaves the student what it began as."""
    member = write_member(toy, tmp_path / "1.pt", **KINDS[kind])
    together = tmp_path / "together.pt"
    assert grow(member, member, "--decoders", decoders, "--output", together) == 0
    options = shlex.split(capsys.readouterr().out.splitlines()[-1])
    log = toy.run(
        "train", toy.data, "--source-lang", "src", "--target-lang", "tgt", "--task", "distillation",
        "--ensemble-paths", member, *options, "--dropout", "0", "--criterion", "rkl_dirichlet_proxy_distillation",
        "--optimizer", "sgd", "--lr", "1e-9", "--max-tokens", "500", "--max-update", "1", "--cpu", "--num-workers", "0",
        "--no-epoch-checkpoints", "--disable-validation", "--save-dir", tmp_path / "student",
    )  # fmt: skip
    found = re.search(r"num\. shared model params: ([\d,]+)", log)
    assert found is not None, log[-2000:]
    student = tmp_path / "student" / "checkpoint_last.pt"
    torch.testing.assert_close(logits(student, toy), logits(member, toy), rtol=0, atol=1e-4)


def test_parameters_are_counted_once(
    toy: ToyReversal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from fairseq import checkpoint_utils

    for kind in ("plain", "two tables", "three tables"):
        member = write_member(
            toy, tmp_path / "member.pt", **(KINDS[kind] | {"encoder_ffn_embed_dim": 20_000})
        )
        together = tmp_path / "together.pt"
        assert grow(member, "--copies", 1, "--output", together) == 0
        printed = re.search(r"([\d.]+) million parameters", capsys.readouterr().out)
        models, _, _ = checkpoint_utils.load_model_ensemble_and_task([str(together)], task=task_of(toy.data))
        assert printed is not None
        assert printed[1] == f"{sum(one.numel() for one in models[0].parameters()) / 1e6:.2f}"


def test_bad_input(toy: ToyReversal, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, output = write_member(toy, tmp_path / "1.pt"), tmp_path / "x.pt"

    def refused(*arguments: Any) -> str:
        assert grow(*arguments, "--output", output) == 2
        assert not output.exists()
        error = capsys.readouterr().err
        assert error.count("error: ") == 1
        return error

    assert "from 1 to that of the members, 2" in refused(first, first, "--decoders", 0)
    assert "from 1 to that of the members, 2" in refused(first, first, "--decoders", 3)
    assert "--copies is for one member" in refused(first, first, "--copies", 2)
    assert "give at least 1" in refused(first, "--copies", 0)
    assert "none.pt" in refused(first, tmp_path / "none.pt")
    other = write_member(toy, tmp_path / "other.pt", encoder_ffn_embed_dim=31)
    assert "encoder.layers.0.fc1.bias is [31], the first member's [32]" in refused(first, other)
    deeper = write_member(toy, tmp_path / "deeper.pt", decoder_layers=3)
    assert "decoder.layers.2" in refused(first, deeper)
    heads = write_member(toy, tmp_path / "heads.pt", encoder_attention_heads=4)
    assert "encoder_attention_heads = 4, the first member 2" in refused(first, heads)
    before = write_member(toy, tmp_path / "before.pt", decoder_normalize_before=True)
    assert "decoder_normalize_before = True, the first member False" in refused(first, before)
    final = write_member(toy, tmp_path / "final.pt", no_decoder_final_norm=True)
    assert "has no_decoder_final_norm = True, which cannot be widened" in refused(first, final)


def test_members_of_other_symbols_do_not_stand_side_by_side(
    toy: ToyReversal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Shapes do not tell: the same pieces in another order, or another direction."""
    together = tmp_path / "together.pt"
    folders = [tmp_path / name for name in ("here", "there")]
    for folder in folders:
        folder.mkdir()
        write_member(toy, folder / "model.pt")
    members = [folder / "model.pt" for folder in folders]
    lines = (toy.data / "dict.tgt.txt").read_text(encoding="utf-8").splitlines(keepends=True)
    (folders[0] / "dict.tgt.txt").write_text("".join(lines), encoding="utf-8")
    assert grow(*members, "--output", together) == 0  # of the second nothing is known
    together.unlink()
    (folders[1] / "dict.tgt.txt").write_text("".join(reversed(lines)), encoding="utf-8")
    capsys.readouterr()
    assert grow(*members, "--output", together) == 2
    error = capsys.readouterr().err
    assert f"The tgt dictionaries of the checkpoints {members[1]}" in error
    assert str(folders[0] / "dict.tgt.txt") in error
    (folders[1] / "dict.tgt.txt").write_text("".join(lines), encoding="utf-8")
    assert grow(*members, "--output", together) == 0
    together.unlink()

    state = read_state(members[1])
    write_checkpoint(state, ("tgt", "src"), members[1])
    assert grow(*members, "--output", together) == 2
    assert (
        f"The checkpoint {members[1]} translates tgt-src, but {members[0]} src-tgt" in capsys.readouterr().err
    )
    assert not together.exists()
