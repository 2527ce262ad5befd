from __future__ import annotations

import math
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from torch import Tensor

from ednd_nmt.ensemble import ensemble_statistics
from ednd_nmt.errors import UserError

PER_TOKEN = ("mkl", "epkl", "mutual_information", "expected_entropy", "entropy_of_mean")


def members(count: int, *shape: int, spread: float = 1.0, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(count + sum(shape))
    common = 3 * torch.randn(*shape, generator=generator, dtype=torch.float64)
    own = torch.randn(count, *shape, generator=generator, dtype=torch.float64)
    return (common + spread * own).to(dtype)


def stacked_statistics(logits: Tensor) -> dict[str, np.ndarray]:
    """The definitions on all members at once, by scipy in float64; EPKL as the mean over all pairs of members."""
    log_p = scipy.special.log_softmax(logits.double().numpy(), axis=-1)
    p = np.exp(log_p)
    mean = p.mean(0)
    pairs = scipy.special.rel_entr(p[:, None], p[None, :]).sum(-1)
    return {
        "mean": mean,
        "log_mean": log_p.mean(0),
        "mkl": scipy.special.rel_entr(mean, p).sum(-1).mean(0),
        "epkl": pairs.mean((0, 1)),
        "mutual_information": scipy.special.rel_entr(p, mean).sum(-1).mean(0),
        "expected_entropy": scipy.stats.entropy(p, axis=-1).mean(0),
        "entropy_of_mean": scipy.stats.entropy(mean, axis=-1),
    }


@pytest.mark.parametrize("classes", [2, 51, 1000, 4099])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
def test_streamed_equals_stacked(classes: int, dtype: torch.dtype, tolerance: float) -> None:
    logits = members(4, 3, 2, classes, dtype=dtype)
    statistics = ensemble_statistics(iter(logits))
    for name, expected in stacked_statistics(logits).items():
        value = getattr(statistics, name)
        assert value.dtype == dtype
        np.testing.assert_allclose(value.numpy(), expected, rtol=tolerance, atol=tolerance / 2, err_msg=name)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_worked_on_in_float32(dtype: torch.dtype) -> None:
    logits = members(3, 5, 40, dtype=dtype)
    statistics = ensemble_statistics(logits)
    assert statistics.mean.dtype == torch.float32
    for name, expected in stacked_statistics(logits).items():
        np.testing.assert_allclose(getattr(statistics, name).numpy(), expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("spread", [0.0, 1e-4, 1.0, 10.0])
def test_identities(spread: float) -> None:
    statistics = ensemble_statistics(members(5, 64, 300, spread=spread))
    assert (statistics.mkl >= 0).all()
    assert (statistics.mutual_information >= 0).all()
    assert torch.equal(statistics.epkl, statistics.mutual_information + statistics.mkl)
    difference = statistics.entropy_of_mean - statistics.expected_entropy
    torch.testing.assert_close(statistics.mutual_information, difference, atol=1e-6, rtol=0)
    torch.testing.assert_close(statistics.mean.sum(-1), torch.ones(64), atol=1e-6, rtol=0)


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("scale", [0.0, 1.0, 20.0])
def test_members_that_agree_have_no_disagreement(count: int, scale: float) -> None:
    one = scale * torch.randn(20, 3000, generator=torch.Generator().manual_seed(0))
    statistics = ensemble_statistics(one for _ in range(count))
    torch.testing.assert_close(statistics.mean, one.softmax(-1), atol=1e-7, rtol=1e-5)
    for name in ("mkl", "epkl", "mutual_information"):
        assert (getattr(statistics, name) <= 1e-6 * (1 + statistics.entropy_of_mean)).all(), name


def test_one_hot_members_that_disagree() -> None:
    """Two sure members: ln 2 of mutual information, and an MKL that is as large as the logits make it."""
    statistics = ensemble_statistics([torch.tensor([[60.0, -60.0]]), torch.tensor([[-60.0, 60.0]])])
    assert statistics.mutual_information.item() == pytest.approx(np.log(2), rel=1e-6)
    assert statistics.mkl.item() == pytest.approx(60 - np.log(2), rel=1e-6)
    assert statistics.expected_entropy.item() == pytest.approx(0, abs=1e-20)


def test_a_member_is_gone_before_the_next_one_is_made() -> None:
    previous: weakref.ref[Tensor] | None = None

    def one_by_one() -> Iterator[Tensor]:
        nonlocal previous
        for number in range(6):
            assert previous is None or previous() is None
            logits = torch.full((4, 30), float(number))
            previous = weakref.ref(logits)
            yield logits
            del logits

    ensemble_statistics(one_by_one())


def test_a_list_and_a_generator_give_the_same() -> None:
    """A list is worked through block by block, a generator member by member."""
    logits = list(members(3, 70, 5000))
    from_list, streamed = ensemble_statistics(logits), ensemble_statistics(iter(logits))
    for name, value in vars(from_list).items():
        assert torch.equal(getattr(streamed, name), value), name


def test_order_of_members_and_of_tokens_does_not_matter() -> None:
    logits = members(3, 500, 700)
    forward, backward = ensemble_statistics(logits), ensemble_statistics(logits.flip(0))
    torch.testing.assert_close(forward.mkl, backward.mkl, atol=1e-6, rtol=1e-5)
    reversed_tokens = ensemble_statistics(logits.flip(1))
    assert torch.equal(reversed_tokens.mkl.flip(0), forward.mkl)


def test_temperature_divides_the_logits() -> None:
    logits = members(3, 4, 50, dtype=torch.float64)
    softened, expected = ensemble_statistics(logits, temperature=2.5), ensemble_statistics(logits / 2.5)
    for name, value in vars(expected).items():
        assert torch.equal(getattr(softened, name), value)


def test_no_tokens() -> None:
    statistics = ensemble_statistics(torch.zeros(2, 0, 10))
    assert statistics.mean.shape == (0, 10)
    assert all(getattr(statistics, name).shape == (0,) for name in PER_TOKEN)


def test_map_and_flatten_keep_the_fields_together() -> None:
    statistics = ensemble_statistics(members(2, 3, 4, 5))
    flat = statistics.flatten()
    assert flat.mean.shape == flat.log_mean.shape == (12, 5)
    assert flat.map(lambda value: value[:2]).epkl.shape == (2,)


def test_errors() -> None:
    with pytest.raises(UserError, match="at least one member"):
        ensemble_statistics([])
    with pytest.raises(UserError, match="one vocabulary"):
        ensemble_statistics([torch.zeros(2, 3), torch.zeros(2, 4)])
    members = torch.zeros(2, 5, 3)
    for temperature in (0.0, -1.0, math.nan):
        with pytest.raises(UserError, match=r"temperature is .*; give a finite number above 0"):
            ensemble_statistics(members, temperature)


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        (torch.ones(5, 2), "at least 0 and 1 in sum"),
        (torch.tensor([1.5, -0.5]).expand(5, 2), "at least 0 and 1 in sum"),
        (torch.full((5, 3), 1 / 3), "weights for 3 members"),
        (torch.ones(5, 1), "weights for 1 members"),
        (torch.full((4, 2), 0.5), "one weight for each token"),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [list, iter])
def test_weights_that_are_none_are_refused(weights: Tensor, sentence: str, kind: Any) -> None:
    with pytest.raises(UserError, match=sentence):
        ensemble_statistics(kind([torch.zeros(5, 3)] * 2), weights=weights)
