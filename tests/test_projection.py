from __future__ import annotations

import pytest
import torch

from ednd_nmt.projection import linear_logits


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("with_bias", [False, True])
def test_equals_torch(dtype: torch.dtype, with_bias: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    features, weight, bias = (
        torch.randn(*shape, generator=generator).to(dtype) for shape in ((5, 3), (7, 3), (7,))
    )
    memory = torch.full((5, 7), torch.nan, dtype=dtype)
    logits = linear_logits(features, weight, bias if with_bias else None, into=memory)
    assert logits is memory
    expected = torch.nn.functional.linear(features, weight, bias if with_bias else None)
    atol = 4 * torch.finfo(dtype).eps  # sums of a few numbers around 1, rounded at another place
    torch.testing.assert_close(logits, expected, rtol=0, atol=atol * expected.abs().max().item())


@pytest.mark.parametrize(
    "memory", [torch.zeros(4, 7), torch.zeros(5, 6), torch.zeros(5, 7, dtype=torch.float16)]
)
def test_memory_of_another_kind_is_left_alone(memory: torch.Tensor) -> None:
    logits = linear_logits(torch.ones(5, 3), torch.ones(7, 3), into=memory)
    assert torch.equal(logits, torch.full((5, 7), 3.0))
    assert not memory.any()


def test_no_graph_is_built() -> None:
    """Weights that are being trained do not forbid it."""
    weight = torch.ones(7, 3, requires_grad=True)
    assert not linear_logits(torch.ones(5, 3), weight).requires_grad
