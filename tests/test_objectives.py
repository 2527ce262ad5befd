"""One contract for every objective: values and gradients of the dense float64 version.

Whatever the dtype and the vocabulary, and whether the bodies run eagerly or through torch.compile. The compiled ones are
slow: each is compiled once for float32, which serves the half precisions too, and once for float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import dense_objectives as dense
import mpmath
import pytest
import torch
from compiled_bodies import compiled_bodies  # noqa: F401 - a fixture
from torch import Tensor

from ednd_nmt.dirichlet import dirichlet_uncertainty
from ednd_nmt.ensemble import EnsembleStatistics, ensemble_statistics
from ednd_nmt.errors import UserError
from ednd_nmt.objectives.forward_kl import forward_kl_loss
from ednd_nmt.objectives.likelihood import dirichlet_likelihood_loss
from ednd_nmt.objectives.mean_kl import mean_kl_loss
from ednd_nmt.objectives.reverse_kl import reverse_kl_loss
from ednd_nmt.proxy import proxy_target

Loss = Callable[..., Tensor]

CONTRACTS: dict[str, tuple[Loss, Loss, dict[str, Any]]] = {
    "mean_kl": (mean_kl_loss, dense.mean_kl, {}),
    "likelihood": (dirichlet_likelihood_loss, dense.likelihood, {}),
    "likelihood-hot": (dirichlet_likelihood_loss, dense.likelihood, {"offset": 0.0, "temperature": 2.5}),
    "forward_kl": (forward_kl_loss, dense.forward_kl, {}),
    "forward_kl-offsets": (
        forward_kl_loss,
        dense.forward_kl,
        {"offset": 0.5, "target_offset": 0.0, "concentration": "epkl"},
    ),
    "reverse_kl": (reverse_kl_loss, dense.reverse_kl, {}),
    "reverse_kl-released": (reverse_kl_loss, dense.reverse_kl, {"prior_weight": "released"}),
    "reverse_kl-offsets": (
        reverse_kl_loss,
        dense.reverse_kl,
        {"offset": 0.25, "target_offset": 2.0, "concentration": "epkl"},
    ),
}
contracts = pytest.mark.parametrize("contract", list(CONTRACTS))
OBJECTIVES = ("mean_kl", "likelihood", "forward_kl", "reverse_kl")
objectives = pytest.mark.parametrize("objective", OBJECTIVES)
CLASSES = (2, 51, 1000, 40000)
UNUSUAL = ("identical", "one dissenting", "one-hot", "one member")

# By the dtype of the logits: of the value relative to it and in nats, of the gradient's L2 norm relative to
# it and absolute.
TOLERANCES = {
    torch.float64: (1e-10, 1e-10, 1e-9, 1e-12),
    torch.float32: (1e-6, 1e-6, 1e-5, 2e-7),
    torch.float16: (1e-6, 1e-6, 1e-3, 2e-7),
    torch.bfloat16: (1e-6, 1e-6, 4e-3, 2e-7),
}


def ensemble_and_student(
    classes: int, tokens: int = 3, dtype: torch.dtype = torch.float32, spread: float = 0.7
) -> tuple[EnsembleStatistics, Tensor]:
    """Four members around one distribution, and a student that is not far from it."""
    generator = torch.Generator().manual_seed(classes)
    common = 2.5 * torch.randn(tokens, classes, generator=generator)
    members = [common + spread * torch.randn(tokens, classes, generator=generator) for _ in range(4)]
    logits = common + 3 + torch.randn(tokens, classes, generator=generator)
    double = dtype == torch.float64
    statistics = ensemble_statistics(member.double() if double else member for member in members)
    return statistics, logits.to(dtype)


def assert_meets_contract(contract: str, statistics: EnsembleStatistics, logits: Tensor) -> None:
    loss_function, dense_function, options = CONTRACTS[contract]
    expected, expected_gradient = dense.value_and_gradient(dense_function, logits, statistics, **options)
    leaf = logits.clone().requires_grad_()
    loss = loss_function(leaf, statistics, **options)
    # A loss scale, as mixed precision has it: the gradient must neither leave float16's range nor drown in
    # it.
    scale = 2.0 ** round(8 - math.log2(expected_gradient.abs().amax().item()))
    loss.backward(torch.full_like(loss, scale))
    assert leaf.grad is not None
    assert leaf.grad.dtype == logits.dtype
    assert loss.dtype == (torch.float64 if logits.dtype == torch.float64 else torch.float32)
    relative, absolute, relative_gradient, absolute_gradient = TOLERANCES[logits.dtype]
    size = torch.ones_like(expected)
    if "likelihood" in contract or "forward_kl" in contract:
        # These losses are sums over k of alpha_k times a logarithm, of which little may be left. exp and ln round by up to
        # 2^-24 of themselves in float32, so that what is left is known to 2^-22 alpha0, as if every logit were off by
        # about 2e-7: no way of summing mends this, only exp and ln in float64.
        alpha0 = (logits.double() / options.get("temperature", 1)).exp().sum(-1)
        size = torch.maximum(size, options.get("temperature", 1) ** 2 * alpha0 / 4)
    error = (loss.detach().double() - expected).abs()
    assert (error <= relative * expected.abs() + absolute * size).all(), error / expected
    error = (leaf.grad.double() / scale - expected_gradient).norm(dim=-1)
    norm = expected_gradient.norm(dim=-1)
    assert (error <= relative_gradient * norm + absolute_gradient * size).all(), error / norm


@contracts
@pytest.mark.parametrize("dtype", list(TOLERANCES), ids=str)
@pytest.mark.parametrize("classes", CLASSES)
def test_equals_the_dense_version(contract: str, dtype: torch.dtype, classes: int) -> None:
    statistics, logits = ensemble_and_student(classes, dtype=dtype)
    assert_meets_contract(contract, statistics, logits)


@pytest.mark.slow
@pytest.mark.usefixtures("compiled_bodies")
@objectives
@pytest.mark.parametrize("dtype", list(TOLERANCES), ids=str)
@pytest.mark.parametrize("classes", CLASSES)
def test_compiled_equals_the_dense_version(objective: str, dtype: torch.dtype, classes: int) -> None:
    test_equals_the_dense_version(objective, dtype, classes)


@pytest.mark.slow
@pytest.mark.usefixtures("compiled_bodies")
@objectives
@pytest.mark.parametrize("kind", UNUSUAL)
def test_compiled_with_unusual_ensembles(objective: str, kind: str) -> None:
    test_unusual_ensembles(objective, kind)


@contracts
@pytest.mark.parametrize("kind", UNUSUAL)
def test_unusual_ensembles(contract: str, kind: str) -> None:
    _, logits = ensemble_and_student(1000)
    one = logits + torch.linspace(-1, 1, 1000)
    members = {
        "identical": [one] * 4,
        "one dissenting": [one, one, one, one.flip(-1)],
        "one-hot": [torch.where(torch.arange(1000) == top, 25.0, 0.0).expand(3, -1) for top in (5, 5, 6)],
        "one member": [one],
    }[kind]
    statistics = ensemble_statistics(member.double() for member in members)
    # The dense version's own lgamma terms cancel to 1e-9 of what they were: compared where it can be trusted.
    assert_meets_contract(
        contract, statistics, logits if contract != "forward_kl-offsets" else logits.double()
    )


@contracts
def test_gradcheck(contract: str) -> None:
    loss_function, _, options = CONTRACTS[contract]
    statistics, logits = ensemble_and_student(7, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda z: loss_function(z, statistics, **options), logits.requires_grad_(), rtol=1e-5, atol=1e-6
    )


@contracts
def test_any_leading_shape_and_per_token_weights(contract: str) -> None:
    loss_function, _, options = CONTRACTS[contract]
    statistics, logits = ensemble_and_student(50, tokens=6)
    weights = torch.rand(6, generator=torch.Generator().manual_seed(1))
    flat, shaped = logits.clone().requires_grad_(), logits.reshape(2, 3, 50).requires_grad_()
    flat_loss = loss_function(flat, statistics, **options)
    two_by_three = statistics.map(lambda x: x.reshape(2, 3, *x.shape[1:]))
    shaped_loss = loss_function(shaped, two_by_three, **options)
    assert torch.equal(shaped_loss.reshape(-1), flat_loss)
    (shaped_loss.reshape(-1) * weights).sum().backward()
    flat_loss.sum().backward()
    assert flat.grad is not None
    assert shaped.grad is not None
    torch.testing.assert_close(shaped.grad.reshape(6, 50), flat.grad * weights.unsqueeze(-1))


@contracts
def test_no_tokens(contract: str) -> None:
    loss_function, _, options = CONTRACTS[contract]
    statistics = ensemble_statistics(torch.zeros(2, 0, 10))
    logits = torch.zeros(0, 10, requires_grad=True)
    loss_function(logits, statistics, **options).sum().backward()
    assert logits.grad is not None
    assert logits.grad.shape == (0, 10)


@contracts
@pytest.mark.parametrize("extreme", [60.0, 87.0, 120.0, -120.0])
def test_finite_beyond_the_accurate_range(contract: str, extreme: float) -> None:
    loss_function, _, options = CONTRACTS[contract]
    statistics, logits = ensemble_and_student(40)
    logits[0] += extreme
    logits[1, 3] = extreme
    leaf = logits.requires_grad_()
    loss = loss_function(leaf, statistics, **options)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert leaf.grad is not None
    assert torch.isfinite(leaf.grad).all()


@contracts
def test_without_gradients_none_is_computed(contract: str) -> None:
    loss_function, _, options = CONTRACTS[contract]
    statistics, logits = ensemble_and_student(60)
    loss = loss_function(logits, statistics, **options)
    assert not loss.requires_grad
    with_gradient = loss_function(logits.clone().requires_grad_(), statistics, **options)
    assert torch.equal(loss, with_gradient.detach())


class Exact:
    """The objectives and their textbook gradients in 60-digit arithmetic, for logits where float64 itself
    fails."""

    @staticmethod
    def mean_kl(z: list[Any], pbar: list[Any], lbar: list[Any], beta0: Any) -> tuple[Any, list[Any]]:
        total = mpmath.fsum(mpmath.exp(x) for x in z)
        p = [mpmath.exp(x) / total for x in z]
        return mpmath.fsum(a * mpmath.log(a / b) for a, b in zip(pbar, p, strict=True)), [
            b - a for a, b in zip(pbar, p, strict=True)
        ]

    @staticmethod
    def likelihood(z: list[Any], pbar: list[Any], lbar: list[Any], beta0: Any) -> tuple[Any, list[Any]]:
        e = [mpmath.exp(x) for x in z]
        alpha = [x + 1 for x in e]
        alpha0 = mpmath.fsum(alpha)
        value = mpmath.fsum(map(mpmath.loggamma, alpha)) - mpmath.loggamma(alpha0)
        value -= mpmath.fsum(x * lb for x, lb in zip(e, lbar, strict=True))
        gradient = [
            x * (mpmath.digamma(a) - mpmath.digamma(alpha0) - lb)
            for x, a, lb in zip(e, alpha, lbar, strict=True)
        ]
        return value, gradient

    @staticmethod
    def kl(alpha: list[Any], beta: list[Any]) -> Any:
        alpha0, beta0 = mpmath.fsum(alpha), mpmath.fsum(beta)
        value = mpmath.loggamma(alpha0) - mpmath.loggamma(beta0)
        for a, b in zip(alpha, beta, strict=True):
            value += mpmath.loggamma(b) - mpmath.loggamma(a)
            value += (a - b) * (mpmath.digamma(a) - mpmath.digamma(alpha0))
        return value

    @staticmethod
    def forward_kl(z: list[Any], pbar: list[Any], lbar: list[Any], beta0: Any) -> tuple[Any, list[Any]]:
        e = [mpmath.exp(x) for x in z]
        alpha, beta = [x + 1 for x in e], [beta0 * p + 1 for p in pbar]
        constant = mpmath.digamma(mpmath.fsum(beta)) - mpmath.digamma(mpmath.fsum(alpha))
        gradient = [
            x * (mpmath.digamma(a) - mpmath.digamma(b) + constant)
            for x, a, b in zip(e, alpha, beta, strict=True)
        ]
        return Exact.kl(beta, alpha), gradient

    @staticmethod
    def reverse_kl(z: list[Any], pbar: list[Any], lbar: list[Any], beta0: Any) -> tuple[Any, list[Any]]:
        e = [mpmath.exp(x) for x in z]
        total = mpmath.fsum(e)
        alpha = [x + 1 for x in e]
        alpha0 = total + len(z)
        value = Exact.kl(alpha, [mpmath.mpf(1)] * len(z)) / beta0
        for p, a in zip(pbar, alpha, strict=True):
            value -= p * (mpmath.digamma(a) - mpmath.digamma(alpha0))
        common = (mpmath.fsum(pbar) - total / beta0) * mpmath.psi(1, alpha0)
        gradient = [
            x * ((x / beta0 - p) * mpmath.psi(1, a) + common) for x, p, a in zip(e, pbar, alpha, strict=True)
        ]
        return value, gradient


EXTREME_LOGITS = (
    [60.0, -60.0, 3.0, -1.0, 0.5],
    [40.0, 39.0, 38.0, -60.0, 30.0],
    [-60.0, -59.0, -60.0, -61.0, -60.0],
    [30.0, 30.0, 30.0, 30.0, 30.0],
    [14.0, 0.0, -20.0, -40.0, -60.0],
)


@pytest.mark.slow
@pytest.mark.usefixtures("compiled_bodies")
@objectives
@pytest.mark.parametrize("logits", EXTREME_LOGITS)
def test_compiled_with_large_and_small_logits(objective: str, logits: list[float]) -> None:
    test_large_and_small_logits_against_exact_arithmetic(objective, logits)


@objectives
@pytest.mark.parametrize("logits", EXTREME_LOGITS)
def test_large_and_small_logits_against_exact_arithmetic(objective: str, logits: list[float]) -> None:
    loss_function = CONTRACTS[objective][0]
    generator = torch.Generator().manual_seed(0)
    statistics = ensemble_statistics(
        2 * torch.randn(3, 2, 5, generator=generator) + torch.arange(5.0).flip(0)
    )
    leaf = torch.tensor([logits, logits], requires_grad=True)
    loss = loss_function(leaf, statistics)
    (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    with mpmath.workdps(60):
        mean = [mpmath.mpf(x) for x in statistics.mean[0].tolist()]
        mean = [x / mpmath.fsum(mean) for x in mean]  # float32 means sum to 1 within rounding only
        log_mean = [mpmath.mpf(x) for x in statistics.log_mean[0].tolist()]
        precision = mpmath.mpf(proxy_target(statistics).precision[0].item())
        value, exact_gradient = getattr(Exact, objective)(
            [mpmath.mpf(x) for x in logits], mean, log_mean, precision
        )
    assert loss[0].item() == pytest.approx(float(value), rel=2e-6)
    expected = torch.tensor([float(x) for x in exact_gradient], dtype=torch.float64)
    assert (gradient[0].double() - expected).norm() <= 1e-5 * expected.norm()


@pytest.mark.parametrize("concentration", ["mkl", "epkl", "mle"])
@pytest.mark.parametrize("offset", [0.5, 1.0])
@pytest.mark.parametrize("loss_function", [reverse_kl_loss, forward_kl_loss])
def test_gradient_is_zero_at_the_target(loss_function: Loss, offset: float, concentration: str) -> None:
    statistics, logits = ensemble_and_student(300, dtype=torch.float64)
    target = proxy_target(statistics, concentration)  # type: ignore[arg-type]
    at_target = (target.precision.unsqueeze(-1) * statistics.mean).log()
    options = {"offset": offset, "target_offset": offset, "concentration": concentration}
    norms = []
    for z in (at_target, at_target + 0.1 * logits):
        leaf = z.clone().requires_grad_()
        loss_function(leaf, statistics, **options).sum().backward()
        assert leaf.grad is not None
        norms.append(leaf.grad.norm(dim=-1))
    assert (norms[0] < 1e-9 * norms[1]).all()
    if loss_function is forward_kl_loss:
        assert (loss_function(at_target, statistics, **options).abs() < 1e-7).all()


def test_released_prior_weight_tends_to_the_larger_precision() -> None:
    """With the released code's weight the minimum is at sum exp(z) = beta0 + K, the paper's is at beta0."""
    statistics, _ = ensemble_and_student(20, dtype=torch.float64)
    precision = proxy_target(statistics).precision.unsqueeze(-1)
    at_released = ((precision + 20) * statistics.mean).log().requires_grad_()
    reverse_kl_loss(at_released, statistics, prior_weight="released").sum().backward()
    assert at_released.grad is not None
    assert at_released.grad.norm() < 1e-12


def test_share_of_the_gradient_on_the_most_probable_class() -> None:
    """Why the reverse KL: at a flat student only it puts the gradient where the probability is (arXiv
    2105.06987)."""
    classes, members = 40000, 10
    torch.manual_seed(0)
    mean = torch.full((classes,), 0.1 / (classes - 1), dtype=torch.float64)
    mean[0] = 0.9
    noise = 0.3 * torch.randn(members, 1, classes, dtype=torch.float64)
    statistics = ensemble_statistics(mean.log() + noise)
    shares = {}
    for name in ("likelihood", "forward_kl", "reverse_kl"):
        leaf = torch.zeros(1, classes, dtype=torch.float64, requires_grad=True)
        CONTRACTS[name][0](leaf, statistics).sum().backward()
        assert leaf.grad is not None
        shares[name] = (leaf.grad[0, 0].abs() / leaf.grad.abs().sum()).item()
    assert shares["likelihood"] < 5e-4
    assert shares["forward_kl"] < 5e-4
    assert shares["reverse_kl"] > 0.4


def test_errors() -> None:
    statistics, logits = ensemble_and_student(10)
    with pytest.raises(UserError, match="same tokens and the same vocabulary"):
        reverse_kl_loss(logits[:, :9], statistics)
    with pytest.raises(UserError, match="paper, released"):
        reverse_kl_loss(logits, statistics, prior_weight="published")  # type: ignore[arg-type]
    losses: list[Loss] = [reverse_kl_loss, forward_kl_loss, dirichlet_likelihood_loss]
    for loss in losses[:2]:
        with pytest.raises(UserError, match="target_offset is -1; give a finite number"):
            loss(logits, statistics, target_offset=-1.0)
    for loss in losses:
        with pytest.raises(UserError, match="offset is -1; give a finite number"):
            loss(logits, statistics, offset=-1.0)
    with pytest.raises(UserError, match="offset is -1; give a finite number"):
        dirichlet_uncertainty(logits, offset=-1.0)
