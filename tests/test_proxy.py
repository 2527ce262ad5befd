from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.special import psi
from torch import Tensor

from ednd_nmt.ensemble import EnsembleStatistics, ensemble_statistics
from ednd_nmt.errors import UserError
from ednd_nmt.proxy import MAXIMUM_PRECISION_PER_CLASS, Concentration, proxy_target


def drawn_from_dirichlet(
    precision: float, classes: int, members: int, tokens: int, *, flatness: float = 1.0
) -> EnsembleStatistics:
    """Statistics of members drawn from Dir(precision * m), with m one skewed distribution."""
    torch.manual_seed(0)
    mean = torch.softmax(flatness * torch.randn(classes, dtype=torch.float64), -1)
    # log of gamma variates, taken so that small shapes do not underflow: G(a) = G(a + 1) U^(1/a)
    shape = (precision * mean).expand(members, tokens, classes)
    log_gamma = torch._standard_gamma(shape + 1).log() + torch.rand_like(shape).log() / shape
    return ensemble_statistics(log_gamma)


def test_mkl_and_epkl_are_their_definitions() -> None:
    statistics = ensemble_statistics(torch.randn(3, 7, 20, generator=torch.Generator().manual_seed(1)))
    torch.testing.assert_close(proxy_target(statistics).precision, 19 / (2 * statistics.mkl))
    torch.testing.assert_close(proxy_target(statistics, "epkl").precision, 19 / statistics.epkl)
    target = proxy_target(statistics)
    expected = target.precision.unsqueeze(-1) * statistics.mean + 0.5
    assert torch.equal(target.concentrations(0.5), expected)


@pytest.mark.parametrize("concentration", ["mkl", "epkl", "mle"])
def test_what_is_not_finite_is_not_taken_for_agreement(concentration: Concentration) -> None:
    members = torch.randn(2, 3, 20, generator=torch.Generator().manual_seed(1))
    members[1, 1, 4] = torch.nan
    precision = proxy_target(ensemble_statistics(members), concentration).precision
    assert precision.isnan().tolist() == [False, True, False]


@pytest.mark.parametrize("precision", [30.0, 500.0, 1e5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_mle_is_the_root_that_scipy_finds(precision: float, dtype: torch.dtype) -> None:
    statistics = drawn_from_dirichlet(precision, 60, 4, 5).map(lambda x: x.to(dtype))
    found = proxy_target(statistics, "mle").precision
    assert found.dtype == dtype
    for token in range(5):
        mean, mkl = statistics.mean[token].double().numpy(), statistics.mkl[token].item()

        def excess(log_precision: float, mean: np.ndarray = mean, mkl: float = mkl) -> float:
            s = math.exp(log_precision)
            return float((mean * (np.log(s * mean) - psi(s * mean))).sum() - (log_precision - psi(s)) - mkl)

        expected = math.exp(brentq(excess, -5, 25, xtol=1e-13))
        assert found[token].item() == pytest.approx(expected, rel=1e-9 if dtype == torch.float64 else 1e-6)


def test_mle_maximises_the_likelihood_of_the_members() -> None:
    torch.manual_seed(0)
    draws = torch.distributions.Dirichlet(torch.rand(12, dtype=torch.float64) * 30).sample((5,))
    statistics = ensemble_statistics(draws.log())
    best = proxy_target(statistics, "mle").precision

    def log_likelihood(precision: Tensor) -> float:
        return torch.distributions.Dirichlet(precision * statistics.mean).log_prob(draws).mean().item()

    assert log_likelihood(best) > max(log_likelihood(best * 1.001), log_likelihood(best / 1.001))


def test_mle_recovers_the_precision_where_stirling_is_biased() -> None:
    """Most beta0 pbar_k below 1: the mkl precision falls short, the likelihood's does not."""
    truth = 400.0
    statistics = drawn_from_dirichlet(truth, 1000, 2000, 1)
    mkl = proxy_target(statistics).precision.item()
    mle = proxy_target(statistics, "mle").precision.item()
    assert mle == pytest.approx(truth, rel=0.01)
    assert mkl < 0.8 * truth


@pytest.mark.parametrize("concentration", ["mkl", "epkl", "mle"])
@pytest.mark.parametrize("classes", [2, 10, 3000])
def test_agreement_gives_the_documented_maximum(concentration: str, classes: int) -> None:
    one = torch.randn(6, classes, generator=torch.Generator().manual_seed(0))
    precision = proxy_target(ensemble_statistics([one, one, one]), concentration).precision  # type: ignore[arg-type]
    maximum = MAXIMUM_PRECISION_PER_CLASS * (classes - 1)
    torch.testing.assert_close(precision, torch.full_like(precision, maximum), rtol=1e-5, atol=0)


@pytest.mark.parametrize("concentration", ["mkl", "epkl", "mle"])
def test_sure_members_that_disagree_have_a_finite_small_precision(concentration: str) -> None:
    statistics = ensemble_statistics([torch.tensor([[60.0, -60.0, 0.0]]), torch.tensor([[-60.0, 60.0, 0.0]])])
    precision = proxy_target(statistics, concentration).precision  # type: ignore[arg-type]
    assert 0.01 < precision.item() < 0.05


def test_unknown_concentration() -> None:
    with pytest.raises(UserError, match="mkl, epkl, mle"):
        proxy_target(ensemble_statistics(torch.zeros(1, 2, 3)), "median")  # type: ignore[arg-type]
