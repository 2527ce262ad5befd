"""Compiled bodies give the eager numbers, and so does a machine on which nothing compiles.

Slow: each body is compiled by a C++ compiler.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from compiled_bodies import compiled_bodies  # noqa: F401 - a fixture
from own_process import python

from ednd_nmt.compiled import bodies_are_compiled, use_compiled_bodies
from ednd_nmt.dirichlet import dirichlet_uncertainty
from ednd_nmt.ensemble import ensemble_statistics
from ednd_nmt.objectives.reverse_kl import reverse_kl_loss
from ednd_nmt.proxy import proxy_target


@pytest.mark.slow
@pytest.mark.usefixtures("compiled_bodies")
def test_compiled_equals_eager() -> None:
    assert bodies_are_compiled()
    generator = torch.Generator().manual_seed(0)
    for tokens, classes in ((5, 1000), (7, 1301)):  # a second shape must not need a second look
        logits = 3 * torch.randn(tokens, classes, generator=generator)
        members = [logits + torch.randn(tokens, classes, generator=generator) for _ in range(3)]
        results = []
        for enabled in (False, True):  # the fixture looks at the end whether it still compiles
            use_compiled_bodies(enabled)
            statistics = ensemble_statistics(members)
            leaf = logits.clone().requires_grad_()
            loss = reverse_kl_loss(leaf, statistics)
            (gradient,) = torch.autograd.grad(loss.sum(), leaf)
            results.append(
                {
                    **vars(statistics),
                    **vars(dirichlet_uncertainty(logits)),
                    "maximum likelihood": proxy_target(statistics, "mle").precision,
                    "loss": loss,
                    "gradient": gradient,
                }
            )
        for name, value in results[0].items():
            torch.testing.assert_close(value, results[1][name], rtol=5e-6, atol=1e-6, msg=name)


WITHOUT_COMPILER = """
import torch
from ednd_nmt import compiled, ensemble_statistics, reverse_kl_loss

def gradient():
    logits = torch.linspace(-2, 5, 700).reshape(2, 350).requires_grad_()
    reverse_kl_loss(logits, ensemble_statistics([logits.detach().flip(0), logits.detach().flip(1)])).sum().backward()
    return logits.grad

eager = gradient()
compiled.use_compiled_bodies()
assert torch.equal(gradient(), eager)
assert not compiled.bodies_are_compiled()
"""


@pytest.mark.slow
def test_without_a_compiler_one_warning_and_the_same_numbers(tmp_path: Path) -> None:
    environment = {"CXX": str(tmp_path / "g++"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    done = python("-c", WITHOUT_COMPILER, environment=environment)
    assert done.returncode == 0, done.stderr
    (warning,) = done.stderr.splitlines()
    assert "torch.compile does not work here" in warning
    assert "No working C++ compiler" in warning
