from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import scipy.special
import torch
from torch import Tensor

from ednd_nmt.dirichlet import (
    DirichletUncertainty,
    dirichlet_log_probability,
    dirichlet_token_mkl,
    dirichlet_uncertainty,
    log_probability_variance,
)
from ednd_nmt.ensemble import ensemble_statistics
from ednd_nmt.errors import UserError

MEASURES = tuple(DirichletUncertainty.__annotations__)


def by_definition(logits: Tensor, offset: float) -> dict[str, np.ndarray]:
    """Expectations under the Dirichlet in scipy's float64, each from its own definition."""
    alpha = np.exp(logits.double().numpy()) + offset
    alpha0 = alpha.sum(-1, keepdims=True)
    p = alpha / alpha0
    psi = scipy.special.psi
    total = scipy.special.entr(p).sum(-1)
    data = -(p * (psi(alpha + 1) - psi(alpha0 + 1))).sum(-1)
    mkl = (p * (np.log(p) - psi(alpha) + psi(alpha0))).sum(-1)
    return {
        "total": total,
        "data": data,
        "mutual_information": total - data,
        "mkl": mkl,
        "epkl": total - data + mkl,
        "precision": alpha0[..., 0],
    }


@pytest.mark.parametrize("offset", [0.0, 0.25, 1.0, 3.0])
@pytest.mark.parametrize("shift", [-4.0, 0.0, 4.0])
@pytest.mark.parametrize("classes", [2, 35, 5001])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_measures_equal_their_definitions(
    offset: float, shift: float, classes: int, dtype: torch.dtype
) -> None:
    logits = 2 * torch.randn(3, 2, classes, generator=torch.Generator().manual_seed(classes)) + shift
    uncertainty = dirichlet_uncertainty(logits.to(dtype), offset)
    relative, absolute = (2e-6, 5e-7) if dtype == torch.float32 else (1e-10, 1e-12)
    for name, expected in by_definition(logits, offset).items():
        value = getattr(uncertainty, name)
        assert value.dtype == dtype
        np.testing.assert_allclose(value.numpy(), expected, rtol=relative, atol=absolute, err_msg=name)


@pytest.mark.parametrize("top", [20.0, 30.0, 40.0])
def test_no_cancellation_on_sure_tokens(top: float) -> None:
    """MI and MKL of a sure student are differences of nearly equal numbers: compared with 40 digits."""
    classes = 1000
    logits = torch.full((1, classes), -60.0)
    logits[0, 7] = top
    uncertainty = dirichlet_uncertainty(logits)
    with mpmath.workdps(40):
        e, tail = mpmath.exp(mpmath.mpf(top)), mpmath.exp(mpmath.mpf(-60))
        alphas = [(e + 1, 1), (tail + 1, classes - 1)]
        alpha0 = sum(count * alpha for alpha, count in alphas)
        gap = lambda x: mpmath.log(x) - mpmath.digamma(x)  # noqa: E731
        mkl = sum(count * alpha / alpha0 * gap(alpha) for alpha, count in alphas) - gap(alpha0)
        mutual_information = (classes - 1) / alpha0 - mkl
        total = -sum(count * alpha / alpha0 * mpmath.log(alpha / alpha0) for alpha, count in alphas)
    assert uncertainty.mkl.item() == pytest.approx(float(mkl), rel=1e-6)
    assert uncertainty.mutual_information.item() == pytest.approx(float(mutual_information), rel=1e-6)
    assert uncertainty.total.item() == pytest.approx(float(total), abs=1e-7)


@pytest.mark.parametrize("offset", [0.0, 1.0])
@pytest.mark.parametrize("extreme", [-120.0, -60.0, 60.0, 200.0])
def test_finite_and_ordered_at_extremes(offset: float, extreme: float) -> None:
    generator = torch.Generator().manual_seed(3)
    logits = torch.cat(
        [extreme + torch.randn(4, 50, generator=generator), torch.randn(4, 50, generator=generator)]
    )
    logits[::2, 0] = 30.0
    uncertainty = dirichlet_uncertainty(logits, offset)
    for name in MEASURES:
        value = getattr(uncertainty, name)
        assert torch.isfinite(value).all(), name
        assert (value >= 0).all(), name
    torch.testing.assert_close(
        uncertainty.epkl, uncertainty.mutual_information + uncertainty.mkl, rtol=1e-5, atol=0
    )


def test_monte_carlo() -> None:
    """Every measure is what an ensemble drawn from the Dirichlet shows: the closed forms mean what they are named."""
    torch.manual_seed(0)
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, -3.0], dtype=torch.float64)
    offset = 1.0
    draws = torch.distributions.Dirichlet(logits.exp() + offset).sample((400_000,))
    ensemble = ensemble_statistics(draw for draw in draws.log().view(400, 1000, 5))  # 1000 ensembles of 400
    uncertainty = dirichlet_uncertainty(logits, offset)
    bias = 1 / 400  # an ensemble of M sees (M - 1)/M of the disagreement
    for name, seen in [
        ("mutual_information", ensemble.mutual_information),
        ("mkl", ensemble.mkl),
        ("epkl", ensemble.epkl),
        ("data", ensemble.expected_entropy),
        ("total", ensemble.entropy_of_mean),
    ]:
        expected = getattr(uncertainty, name).item()
        noise = 5 * seen.std().item() / 1000**0.5
        assert seen.mean().item() == pytest.approx(expected, abs=noise + bias * expected), name
    token = torch.tensor(1)
    log_p = draws.log()[:, 1]
    noise = 5 * log_p.std().item() / len(draws) ** 0.5
    shortfall = dirichlet_log_probability(logits, token) - dirichlet_token_mkl(logits, token)
    assert log_p.mean().item() == pytest.approx(shortfall.item(), abs=noise)
    assert log_p.var().item() == pytest.approx(log_probability_variance(logits, token).item(), rel=0.02)


@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_chosen_token_columns(offset: float) -> None:
    generator = torch.Generator().manual_seed(5)
    logits = 3 * torch.randn(6, 90, generator=generator)
    token = torch.randint(90, (6,), generator=generator)
    alpha = np.exp(logits.double().numpy()) + offset
    alpha0 = alpha.sum(-1)
    alpha_y = alpha[np.arange(6), token.numpy()]
    log_p = np.log(alpha_y / alpha0)
    expected = {
        dirichlet_log_probability: log_p,
        dirichlet_token_mkl: scipy.special.psi(alpha0) - scipy.special.psi(alpha_y) + log_p,
        log_probability_variance: scipy.special.polygamma(1, alpha_y) - scipy.special.polygamma(1, alpha0),
    }
    precision = dirichlet_uncertainty(logits, offset).precision
    for function, value in expected.items():
        np.testing.assert_allclose(function(logits, token, offset).numpy(), value, rtol=2e-6)
        given = function(logits, token, offset, precision=precision)
        np.testing.assert_allclose(given.numpy(), value, rtol=2e-6)


def test_the_variance_of_an_unlikely_token_leaves_the_range_of_float32() -> None:
    logits = torch.tensor([-60.0, 0.0])
    variance = log_probability_variance(logits, torch.tensor(0), offset=0.0)
    alpha = math.exp(-60.0)
    expected = scipy.special.polygamma(1, alpha) - scipy.special.polygamma(1, 1 + alpha)
    assert float(variance) == pytest.approx(expected, rel=1e-6)
    assert expected > torch.finfo(torch.float32).max


def test_an_offset_below_0_is_refused_everywhere() -> None:
    for function in (dirichlet_log_probability, dirichlet_token_mkl, log_probability_variance):
        with pytest.raises(UserError, match="offset is -2"):
            function(torch.zeros(3), torch.tensor(0), -2.0)


def test_half_precision_logits_and_empty_batches() -> None:
    logits = torch.randn(3, 40, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert dirichlet_uncertainty(logits).mkl.dtype == torch.float32
    torch.testing.assert_close(dirichlet_uncertainty(logits).mkl, dirichlet_uncertainty(logits.float()).mkl)
    assert dirichlet_uncertainty(torch.zeros(0, 40)).total.shape == (0,)


def test_rows_do_not_depend_on_the_batch() -> None:
    """Blocks of rows must not change a row's result: beams are scored in batches of any size."""
    logits = torch.randn(300, 2003, generator=torch.Generator().manual_seed(0))
    together = dirichlet_uncertainty(logits)
    for row in (0, 64, 65, 299):
        alone = dirichlet_uncertainty(logits[row])
        for name in MEASURES:
            assert torch.equal(getattr(alone, name), getattr(together, name)[row]), name
