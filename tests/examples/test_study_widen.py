"""A wider start for a student: the same function, in copies that can part."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from grown_models import logits, unshared
from toy_reversal import ToyReversal
from training import member

from ednd_nmt.errors import UserError
from ednd_nmt.safe_weights import read_state
from examples.study.growth import require_plain
from examples.study.widen import main, widen

PLAIN = {
    "share_all_embeddings": True, "decoder_layers": 1, "encoder_embed_dim": 4, "decoder_embed_dim": 4,
    "max_source_positions": 5, "max_target_positions": 7,
}  # fmt: skip


@pytest.fixture(scope="module")
def narrow(toy: ToyReversal, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return member(toy.data, tmp_path_factory.mktemp("narrow") / "member.pt")


@pytest.mark.parametrize(("times", "shared"), [(1, True), (2, True), (3, True), (2, False)])
def test_a_wider_transformer_computes_the_same(
    narrow: Path,
    toy: ToyReversal,
    tmp_path: Path,
    times: int,
    shared: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With one table of embeddings for all, or with one for the source and another for the target."""
    wider = tmp_path / "wider.pt"
    if not shared:
        narrow = unshared(narrow, tmp_path / "narrow.pt")
    assert main([str(narrow), "--times", str(times), "--output", str(wider)]) == 0
    assert f"{times} times as wide" in capsys.readouterr().out
    expected = logits(narrow, toy)
    assert expected.std() > 0.1
    torch.testing.assert_close(logits(wider, toy), expected, rtol=0, atol=2e-6)
    model = read_state(wider)["cfg"]["model"]
    assert (model.encoder_embed_dim, model.decoder_ffn_embed_dim) == (16 * times, 32 * times)
    assert (model.encoder_attention_heads, model.decoder_attention_heads) == (2 * times, 2 * times)


def test_copies_differ_and_the_seed_says_how() -> None:
    weights = {"encoder.layers.0.fc1.weight": torch.randn(6, 4, generator=torch.Generator().manual_seed(0))}

    def widened(seed: int) -> torch.Tensor:
        return widen(weights, PLAIN, 2, torch.Generator().manual_seed(seed))[0]["encoder.layers.0.fc1.weight"]

    first = widened(1)
    assert torch.equal(first, widened(1))
    assert not torch.equal(first, widened(2))
    assert (first[:6] - first[6:]).abs().min() > 0  # else both would get the same gradient for ever
    torch.testing.assert_close(first[:, :4] + first[:, 4:], weights["encoder.layers.0.fc1.weight"].tile(2, 1))


def test_a_student_starts_from_it(narrow: Path, toy: ToyReversal, tmp_path: Path) -> None:
    """fairseq's own ``--finetune-from-model`` takes it, and the first loss is that of the narrow start."""
    wider = tmp_path / "wider.pt"
    assert main([str(narrow), "--output", str(wider)]) == 0

    def first_loss(start: Path, width: int, heads: int, *options: str) -> float:
        log = toy.run(
            "train", toy.data, "--source-lang", "src", "--target-lang", "tgt", "--task", "distillation",
            "--ensemble-paths", narrow, "--arch", "dirichlet_transformer", "--share-all-embeddings", "--dropout", "0",
            "--encoder-layers", "1", "--decoder-layers", "1", "--encoder-embed-dim", str(width),
            "--encoder-ffn-embed-dim", str(2 * width), "--encoder-attention-heads", str(heads),
            "--decoder-attention-heads", str(heads), "--criterion", "rkl_dirichlet_proxy_distillation", "--optimizer", "sgd",
            "--lr", "1e-9", "--max-tokens", "500", "--max-update", "1", "--no-save", "--cpu", "--num-workers", "0",
            "--log-format", "json", "--save-dir", tmp_path / f"student{width}", "--finetune-from-model", start, *options,
        )  # fmt: skip
        found = re.search(r"\| valid \| (\{.*\})", log)
        assert found is not None, log[-2000:]
        return float(json.loads(found[1])["valid_loss"])

    positions = ("--encoder-learned-pos", "--decoder-learned-pos")
    assert first_loss(wider, 32, 4, *positions) == pytest.approx(first_loss(narrow, 16, 2), rel=1e-4)


@pytest.mark.parametrize(
    "setting", ["encoder_normalize_before", "layernorm_embedding", "decoder_learned_pos"]
)
def test_another_kind_of_transformer_is_refused(setting: str) -> None:
    require_plain(PLAIN)
    with pytest.raises(UserError, match="no Transformer"):
        require_plain({})
    with pytest.raises(UserError, match=f"has {setting}; it cannot be widened"):
        require_plain(PLAIN | {setting: True})


def test_bad_arguments(narrow: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(narrow), "--times", "0", "--output", str(tmp_path / "x.pt")]) == 2
    assert main([str(tmp_path / "none.pt"), "--output", str(tmp_path / "x.pt")]) == 2
    assert capsys.readouterr().err.count("error: ") == 2
    assert not list(tmp_path.iterdir())
