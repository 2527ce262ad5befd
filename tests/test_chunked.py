from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import dense_objectives as dense
import pytest
import torch
from compiled_bodies import compiled_bodies  # noqa: F401 - a fixture
from torch import Tensor

from ednd_nmt.chunked import projected_loss
from ednd_nmt.ensemble import ensemble_statistics
from ednd_nmt.errors import UserError
from ednd_nmt.large_pages import let_malloc_keep_blocks
from ednd_nmt.objectives.core import Objective
from ednd_nmt.objectives.forward_kl import forward_kl_value_and_gradient
from ednd_nmt.objectives.likelihood import likelihood_value_and_gradient
from ednd_nmt.objectives.mean_kl import mean_kl_value_and_gradient
from ednd_nmt.objectives.reverse_kl import reverse_kl_value_and_gradient
from ednd_nmt.projection import linear_logits
from ednd_nmt.proxy import proxy_target

TOKENS, WIDTH, CLASSES, MEMBERS = 37, 12, 103, 3

OBJECTIVES: dict[str, tuple[Objective, Any]] = {
    "mean_kl": (mean_kl_value_and_gradient, dense.mean_kl),
    "likelihood": (likelihood_value_and_gradient, dense.likelihood),
    "forward_kl": (forward_kl_value_and_gradient, dense.forward_kl),
    "reverse_kl": (reverse_kl_value_and_gradient, dense.reverse_kl),
}


def budget_mib(tokens: int, tensors: int = 4, itemsize: int = 4) -> float:
    """What chunks of so many tokens need if so many tensors [chunk, K] are alive at once."""
    return tokens * tensors * CLASSES * itemsize / 2**20


class Problem:
    """Features, projection, teacher, targets and weights; leaves that require gradients."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        generator = torch.Generator().manual_seed(0)
        draw = partial(torch.randn, generator=generator, dtype=torch.float64)
        self.features = draw(TOKENS, WIDTH).to(dtype).requires_grad_()
        self.weight = (0.5 * draw(CLASSES, WIDTH)).to(dtype).requires_grad_()
        self.bias = draw(CLASSES).to(dtype).requires_grad_()
        self.teacher = 2 * draw(1, TOKENS, CLASSES) + draw(MEMBERS, TOKENS, CLASSES)
        self.targets = torch.randint(CLASSES, (TOKENS,), generator=generator)
        self.token_weights = torch.rand(TOKENS, generator=generator, dtype=torch.float64)

    @property
    def leaves(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.features, self.weight, self.bias

    def member_logits(self, tokens: slice) -> Iterator[Tensor]:
        yield from self.teacher[:, tokens]

    def dense(
        self, objective: Any, cross_entropy_weight: float, smoothing: float
    ) -> tuple[Tensor, list[Tensor]]:
        """Per-token loss and the gradients of its weighted sum, all logits at once, with PyTorch's autograd."""
        leaves = [leaf.detach().double().requires_grad_() for leaf in self.leaves]
        logits = torch.nn.functional.linear(*leaves)
        log_p = logits.log_softmax(-1)
        elsewhere = smoothing / (CLASSES - 1)
        cross_entropy = -(1 - smoothing - elsewhere) * log_p.gather(1, self.targets.unsqueeze(1)).squeeze(1)
        cross_entropy = cross_entropy - elsewhere * log_p.sum(-1)
        loss = objective(logits, ensemble_statistics(self.teacher)) + cross_entropy_weight * cross_entropy
        gradients = torch.autograd.grad((loss * self.token_weights).sum(), leaves)
        return loss.detach(), list(gradients)


@pytest.mark.parametrize("name", list(OBJECTIVES))
@pytest.mark.parametrize("tokens_per_chunk", [1, 10, 1000])
def test_equals_dense(name: str, tokens_per_chunk: int) -> None:
    problem = Problem()
    objective, dense_objective = OBJECTIVES[name]
    expected, gradients = problem.dense(dense_objective, 0.3, 0.1)
    result = projected_loss(
        *problem.leaves,
        problem.member_logits,
        objective,
        token_weights=problem.token_weights,
        targets=problem.targets,
        cross_entropy_weight=0.3,
        label_smoothing=0.1,
        chunk_budget_mib=budget_mib(tokens_per_chunk, tensors=5, itemsize=8),
    )
    torch.testing.assert_close(result.token_loss, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(result.loss, (expected * problem.token_weights).sum(), rtol=1e-9, atol=0)
    (result.loss * 128).backward()  # as a gradient scaler does
    for leaf, gradient in zip(problem.leaves, gradients, strict=True):
        torch.testing.assert_close(leaf.grad, 128 * gradient, rtol=1e-8, atol=1e-8)


@pytest.mark.slow
@pytest.mark.usefixtures("compiled_bodies")
@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_compiled_equals_dense(name: str) -> None:
    test_equals_dense(name, 10)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float16, 2e-3), (torch.bfloat16, 1e-2)]
)
@pytest.mark.parametrize("weight", [1.0, 1e-6])
def test_lower_precisions(dtype: torch.dtype, tolerance: float, weight: float) -> None:
    """Small token weights, as a mean over many tokens has them, must not be lost in float16."""
    problem = Problem(dtype)
    problem.token_weights = problem.token_weights * weight
    _, gradients = problem.dense(dense.reverse_kl, 0.0, 0.0)
    result = projected_loss(
        *problem.leaves,
        lambda tokens: (
            (logits.to(dtype) for logits in problem.member_logits(tokens))
            if dtype == torch.float32
            else problem.member_logits(tokens)
        ),
        reverse_kl_value_and_gradient,
        token_weights=problem.token_weights,
        chunk_budget_mib=budget_mib(8, tensors=4 if dtype == torch.float32 else 5),
    )
    assert result.loss.dtype == torch.float32
    (result.loss / weight).backward()
    for leaf, gradient in zip(problem.leaves, gradients, strict=True):
        assert leaf.grad is not None
        assert leaf.grad.dtype == dtype
        assert (leaf.grad.double() * weight - gradient).norm() <= tolerance * gradient.norm()


@pytest.mark.parametrize("size", [1.0, 5.0, 100.0])
def test_float16_sums_over_many_tokens_stay_in_range(size: float) -> None:
    """All tokens pull at one class with features of one sign: a weight's gradient is a sum over all of them."""
    tokens, classes = 8000, 50
    generator = torch.Generator().manual_seed(0)
    features = size * (1 + torch.rand(tokens, 4, generator=generator))
    weight = torch.randn(classes, 4, generator=generator) / size
    member = torch.zeros(classes)
    member[7] = 8.0
    gradients = []
    for dtype in (torch.float32, torch.float16):
        leaf = weight.detach().clone().to(dtype).requires_grad_()
        result = projected_loss(
            features.to(dtype),
            leaf,
            None,
            lambda chunk: [(scale * member).expand(chunk.stop - chunk.start, -1) for scale in (1.0, 1.2)],
            reverse_kl_value_and_gradient,
            chunk_budget_mib=64,  # one chunk
        )
        (result.loss / tokens).backward()
        assert leaf.grad is not None
        gradients.append(leaf.grad.float())
    assert (gradients[1] - gradients[0]).norm() < 3e-3 * gradients[0].norm()


def test_autocast_projects_in_its_dtype_and_returns_gradients_in_the_parameters() -> None:
    problem = Problem(torch.float32)
    seen = []

    def objective(logits: Tensor, *arguments: Any, **options: Any) -> Any:
        seen.append(logits.dtype)
        return reverse_kl_value_and_gradient(logits, *arguments, **options)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = projected_loss(*problem.leaves, problem.member_logits, objective)
    result.loss.backward()
    assert set(seen) == {torch.bfloat16}
    assert all(leaf.grad is not None and leaf.grad.dtype == torch.float32 for leaf in problem.leaves)


def test_repeated_backward_passes_add_up() -> None:
    """What is handed on unscaled is the gradient that was saved: nobody may add to it in place."""
    problem = Problem()
    loss = projected_loss(*problem.leaves, problem.member_logits, reverse_kl_value_and_gradient).loss
    once = torch.autograd.grad(loss, problem.leaves, retain_graph=True)
    expected = [6 * gradient for gradient in once]
    for factor in (1, 1, 1, 3):
        (factor * loss).backward(retain_graph=True)
    for leaf, gradient in zip(problem.leaves, expected, strict=True):
        torch.testing.assert_close(leaf.grad, gradient)


def test_frozen_parts_and_inference_cost_no_gradients() -> None:
    problem = Problem()
    asked = []

    def objective(*arguments: Any, **options: Any) -> Any:
        asked.append(options["gradient"])
        return reverse_kl_value_and_gradient(*arguments, **options)

    with torch.no_grad():
        result = projected_loss(*problem.leaves, problem.member_logits, objective)
    assert not result.loss.requires_grad
    assert asked == [False]
    problem.weight.requires_grad_(False)
    result = projected_loss(problem.features, problem.weight, None, problem.member_logits, objective)
    result.loss.backward()
    assert asked == [False, True]
    assert problem.weight.grad is None
    assert problem.features.grad is not None


def test_diagnostics() -> None:
    problem = Problem()
    result = projected_loss(
        *problem.leaves,
        problem.member_logits,
        reverse_kl_value_and_gradient,
        chunk_budget_mib=budget_mib(10, itemsize=8),
        diagnostics=True,
    )
    statistics = ensemble_statistics(problem.teacher)
    logits = torch.nn.functional.linear(*problem.leaves).detach().requires_grad_()
    alpha = logits.exp() + 1
    p = alpha / alpha.sum(-1, keepdim=True)
    psi = torch.digamma(alpha) - torch.digamma(alpha.sum(-1, keepdim=True))
    (gradient,) = torch.autograd.grad(dense.reverse_kl(logits, statistics).sum(), logits)
    top = gradient.gather(1, statistics.mean.argmax(-1, keepdim=True)).squeeze(1)
    mkl = (p * (p.log() - psi)).sum(-1)
    epkl = (CLASSES - 1) / alpha.sum(-1)
    expected = {
        "teacher_mkl": statistics.mkl,
        "teacher_epkl": statistics.epkl,
        "teacher_mutual_information": statistics.mutual_information,
        "target_precision": proxy_target(statistics).precision,
        "student_precision": alpha.sum(-1),
        "student_mkl": mkl,
        "student_epkl": epkl,
        "student_mutual_information": epkl - mkl,
        "top_class_gradient_share": top.abs() / gradient.abs().sum(-1),
    }
    assert list(result.diagnostics) == list(expected)
    for name, value in expected.items():
        assert not result.diagnostics[name].requires_grad
        torch.testing.assert_close(result.diagnostics[name], value.detach(), rtol=1e-8, atol=1e-12, msg=name)


def test_a_categorical_student_has_no_dirichlet_diagnostics() -> None:
    problem = Problem()
    result = projected_loss(
        *problem.leaves, problem.member_logits, mean_kl_value_and_gradient, diagnostics=True
    )
    assert not any(name.startswith("student") or name == "target_precision" for name in result.diagnostics)


def test_no_tokens() -> None:
    problem = Problem(torch.float32)
    result = projected_loss(
        problem.features[:0],
        problem.weight,
        problem.bias,
        problem.member_logits,
        reverse_kl_value_and_gradient,
        targets=problem.targets[:0],
        cross_entropy_weight=1.0,
        diagnostics=True,
    )
    result.loss.backward()
    assert result.loss.item() == 0
    assert result.token_loss.shape == (0,)
    assert problem.weight.grad is not None
    assert not problem.weight.grad.any()


@pytest.mark.parametrize("tokens", [64, 512])
def test_logits_never_exist_as_a_whole(tokens: int) -> None:
    """The largest chunk that the teacher is asked for and the objective sees obeys the budget, whatever the batch."""
    largest = 0

    def member_logits(chunk: slice) -> Iterator[Tensor]:
        nonlocal largest
        largest = max(largest, chunk.stop - chunk.start)
        for member in range(MEMBERS):
            yield torch.full((chunk.stop - chunk.start, CLASSES), float(member)).cumsum(-1) / CLASSES

    features = torch.randn(tokens, WIDTH, generator=torch.Generator().manual_seed(0))
    weight = torch.randn(CLASSES, WIDTH, generator=torch.Generator().manual_seed(1))
    projected_loss(
        features,
        weight,
        None,
        member_logits,
        reverse_kl_value_and_gradient,
        chunk_budget_mib=budget_mib(16),
    )
    assert largest == 16


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
@pytest.mark.parametrize("cross_entropy_weight", [0.0, 0.5])
def test_memory_stays_within_the_budget(dtype: torch.dtype, cross_entropy_weight: float) -> None:
    """What is alive at once, the gradients returned included, for logits that would take up three to six budgets."""
    tokens, classes, budget = 6000, 4000, 96.0
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(0))
    features, weight = (draw(rows, 8).to(dtype).requires_grad_() for rows in (tokens, classes))
    members = [(draw(tokens, 8), draw(classes, 8)) for _ in range(3)]

    def member_logits(chunk: slice) -> Iterator[Tensor]:
        memory = None
        for member_features, member_weight in members:
            memory = linear_logits(member_features[chunk], member_weight, into=memory)
            yield memory

    def run() -> None:
        projected_loss(
            features,
            weight,
            None,
            member_logits,
            reverse_kl_value_and_gradient,
            targets=torch.zeros(tokens, dtype=torch.int64),
            cross_entropy_weight=cross_entropy_weight,
            chunk_budget_mib=budget,
            diagnostics=True,
        )

    let_malloc_keep_blocks()  # asks for memory of its own, once per process
    peak = peak_mib(run)
    assert 0.5 * budget < peak < 1.02 * budget


def peak_mib(run: Callable[[], None]) -> float:
    """The most that tensors made by ``run`` take up at once."""
    with torch.profiler.profile(
        profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]
    ) as profile:
        run()
    changes = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    changes.sort(key=lambda event: event.start_ns())
    return max(itertools.accumulate(event.nbytes() for event in changes)) / 2**20


def test_errors() -> None:
    problem = Problem()
    arguments = (problem.member_logits, reverse_kl_value_and_gradient)
    with pytest.raises(UserError, match="features"):
        projected_loss(problem.features[:, :3], problem.weight, None, *arguments)
    with pytest.raises(UserError, match="bias"):
        projected_loss(problem.features, problem.weight, problem.bias[:3], *arguments)
    with pytest.raises(UserError, match="token_weights"):
        projected_loss(*problem.leaves, *arguments, token_weights=torch.ones(3))
    with pytest.raises(UserError, match="needs targets"):
        projected_loss(*problem.leaves, *arguments, cross_entropy_weight=0.1)

    def of_one_class(tokens: slice) -> list[Tensor]:
        return [logits[..., :1] for logits in problem.member_logits(tokens)]

    with pytest.raises(UserError, match=r"statistics are for .*, 1\) .* the same vocabulary"):
        projected_loss(*problem.leaves, of_one_class, reverse_kl_value_and_gradient)


def test_a_loss_that_is_not_finite_has_no_finite_gradient() -> None:
    """Not even if the objective says so: whoever looks at the gradient alone must learn of it."""
    problem = Problem(torch.float32)

    def objective(logits: Tensor, *arguments: Any, **options: Any) -> Any:
        result = reverse_kl_value_and_gradient(logits, *arguments, **options)
        result.loss[3] = torch.inf
        return result

    projected_loss(*problem.leaves, problem.member_logits, objective).loss.backward()
    assert all(leaf.grad is not None and leaf.grad.isnan().all() for leaf in problem.leaves)
