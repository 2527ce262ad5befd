"""Compiled bodies give the eager numbers. Slow: each body is compiled by a C++ compiler."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from ednd_nmt.compiled import bodies_are_compiled, use_compiled_bodies
from ednd_nmt.dirichlet import dirichlet_uncertainty
from ednd_nmt.ensemble import ensemble_statistics
from ednd_nmt.objectives.reverse_kl import reverse_kl_loss


@pytest.fixture
def compiled() -> Iterator[None]:
    use_compiled_bodies()
    yield
    use_compiled_bodies(False)


@pytest.mark.slow
@pytest.mark.usefixtures("compiled")
def test_compiled_equals_eager() -> None:
    assert bodies_are_compiled()
    generator = torch.Generator().manual_seed(0)
    for tokens, classes in ((5, 1000), (7, 1301)):  # a second shape must not need a second look
        logits = 3 * torch.randn(tokens, classes, generator=generator)
        members = [logits + torch.randn(tokens, classes, generator=generator) for _ in range(3)]
        results = []
        for enabled in (True, False):
            use_compiled_bodies(enabled)
            statistics = ensemble_statistics(members)
            leaf = logits.clone().requires_grad_()
            loss = reverse_kl_loss(leaf, statistics)
            (gradient,) = torch.autograd.grad(loss.sum(), leaf)
            results.append(
                {
                    **vars(statistics),
                    **vars(dirichlet_uncertainty(logits)),
                    "loss": loss,
                    "gradient": gradient,
                }
            )
        for name, value in results[0].items():
            torch.testing.assert_close(value, results[1][name], rtol=5e-6, atol=1e-6, msg=name)
