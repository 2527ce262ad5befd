"""The blocks of a wider start."""

from __future__ import annotations

import pytest
import torch

from ednd_nmt.errors import UserError
from ednd_nmt.growth import in_copies, require_growable, side_by_side

SETTINGS = {"encoder_embed_dim": 4, "decoder_embed_dim": 4, "decoder_layers": 1}
NAMES = (
    "encoder.layers.0.fc1.weight",
    "decoder.layers.0.encoder_attn.k_proj.weight",
    "decoder.layers.0.fc1.weight",
)


def weights(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    made = {name: torch.randn(6, 4, generator=generator) for name in NAMES}
    made |= {
        f"{side}.embed_tokens.weight": torch.randn(9, 4, generator=generator)
        for side in ("encoder", "decoder")
    }
    norm = "decoder.layers.0.final_layer_norm"
    return made | {f"{norm}.{part}": torch.randn(4, generator=generator) for part in ("weight", "bias")}


def test_copies_differ_and_the_seed_says_how() -> None:
    name = NAMES[0]

    def widened(seed: int) -> torch.Tensor:
        return in_copies(weights(0), SETTINGS, 2, torch.Generator().manual_seed(seed))[name]

    first = widened(1)
    assert torch.equal(first, widened(1))
    assert not torch.equal(first, widened(2))
    assert (first[:6] - first[6:]).abs().min() > 0  # else both would get the same gradient for ever
    torch.testing.assert_close(first[:, :4] + first[:, 4:], weights(0)[name].tile(2, 1))


def test_every_member_is_in_a_block_of_its_own() -> None:
    members = [weights(seed) for seed in range(3)]
    grown = side_by_side(members, SETTINGS, 2)
    for name, rows, columns in zip(NAMES, (3, 2, 2), (3, 3, 2), strict=True):
        blocks = grown[name].unflatten(0, (rows, 6)).unflatten(2, (columns, 4))
        for row in range(rows):
            for column in range(columns):
                expected = members[row][name] if row == column else torch.zeros(6, 4)
                assert torch.equal(blocks[row, :, column], expected)


@pytest.mark.parametrize("name", ["adaptive_input", "cross_self_attention", "no_decoder_final_norm"])
def test_what_is_not_widened_is_refused(name: str) -> None:
    require_growable(SETTINGS)
    require_growable({**SETTINGS, name: False})
    with pytest.raises(UserError, match="no Transformer"):
        require_growable({})
    with pytest.raises(UserError, match=f"has {name} = True, which cannot be widened"):
        require_growable({**SETTINGS, name: True})
