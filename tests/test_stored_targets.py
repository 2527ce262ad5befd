"""What is kept of an ensemble's opinion: exact where it claims to be, and better the more classes are kept."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from ednd_nmt.ensemble import EnsembleStatistics, ensemble_statistics
from ednd_nmt.errors import UserError
from ednd_nmt.objectives.likelihood import likelihood_value_and_gradient
from ednd_nmt.objectives.reverse_kl import reverse_kl_value_and_gradient
from ednd_nmt.stored_targets import (
    Rows,
    StoredTargets,
    TailAverage,
    TailShape,
    checksum,
    compress,
    expand,
    stored_targets_writer,
)

CLASSES = 500
TOKENS = 40
UNIFORM = TailShape.uniform(CLASSES)


@pytest.fixture
def statistics() -> EnsembleStatistics:
    """Peaked members that share an opinion and differ in detail, as those of a vocabulary do."""
    generator = torch.Generator().manual_seed(0)
    shared = 4 * torch.randn(TOKENS, CLASSES, generator=generator)
    return ensemble_statistics([shared + torch.randn(TOKENS, CLASSES, generator=generator) for _ in range(3)])


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.arange(TOKENS)


def test_all_classes_kept_give_the_statistics_back(
    statistics: EnsembleStatistics, tokens: torch.Tensor
) -> None:
    found = expand(compress(statistics, tokens, CLASSES), UNIFORM)
    for name, expected in vars(statistics).items():
        torch.testing.assert_close(getattr(found, name), expected, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("top_k", [1, 7, 64, 499])
def test_what_is_exact_for_any_number_of_classes(
    statistics: EnsembleStatistics, tokens: torch.Tensor, top_k: int
) -> None:
    rows = compress(statistics, tokens, top_k)
    found = expand(rows, average(statistics, rows))
    torch.testing.assert_close(found.mean.double().sum(-1), torch.ones(TOKENS, dtype=torch.float64))
    torch.testing.assert_close(found.log_mean.sum(-1), statistics.log_mean.sum(-1), rtol=1e-4, atol=1e-4)
    kept = statistics.mean.topk(top_k, dim=-1).indices
    torch.testing.assert_close(found.mean.gather(-1, kept), statistics.mean.gather(-1, kept))
    torch.testing.assert_close(found.mkl, statistics.mkl)
    torch.testing.assert_close(found.epkl, statistics.epkl)
    torch.testing.assert_close(found.expected_entropy, statistics.expected_entropy)


def average(statistics: EnsembleStatistics, *parts: Rows) -> TailShape:
    tail = TailAverage(CLASSES)
    for rows in parts:
        tail.add(statistics, rows)
    return tail.shape()


def test_the_tail_of_all_tokens_shapes_that_of_each() -> None:
    """Members whose opinion of the tail is the same for every token, up to its mass: nothing is lost."""
    generator = torch.Generator().manual_seed(2)
    tail = torch.randn(CLASSES, generator=generator, dtype=torch.float64)
    logits = tail.repeat(TOKENS, 1)
    logits[:, :5] = 8 + torch.randn(TOKENS, 5, generator=generator, dtype=torch.float64)
    statistics = ensemble_statistics([logits, logits])
    rows = compress(statistics, torch.arange(TOKENS), 5)
    shaped, flat = expand(rows, average(statistics, rows)), expand(rows, UNIFORM)
    torch.testing.assert_close(shaped.mean.double(), statistics.mean, rtol=1e-4, atol=0)
    torch.testing.assert_close(shaped.log_mean.double(), statistics.log_mean, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(flat.mean.double(), statistics.mean, rtol=0.1, atol=0)


def test_the_shape_of_the_tail_is_the_average_over_tokens(
    statistics: EnsembleStatistics, tokens: torch.Tensor
) -> None:
    rows = compress(statistics, tokens, 20)
    tail = TailAverage(CLASSES)
    for part in (slice(0, 15), slice(15, TOKENS)):
        half = EnsembleStatistics(**{name: column[part] for name, column in vars(statistics).items()})
        tail.add(half, {name: column[part] for name, column in rows.items()})
    kept = torch.zeros(TOKENS, CLASSES, dtype=torch.bool).scatter_(-1, rows["classes"], True)
    expected = statistics.mean.masked_fill(kept, 0.0).sum(0)
    torch.testing.assert_close(
        tail.shape().probability, expected, rtol=1e-4, atol=1e-4 * float(expected.mean())
    )
    alike = average(statistics, compress(statistics, tokens, CLASSES))  # nothing was left to look at
    torch.testing.assert_close(alike.probability, UNIFORM.probability)
    assert torch.equal(alike.log_probability, UNIFORM.log_probability)


def test_every_other_class_gets_the_same(statistics: EnsembleStatistics, tokens: torch.Tensor) -> None:
    kept = statistics.mean.topk(10, dim=-1).indices
    others = torch.ones(TOKENS, CLASSES, dtype=torch.bool).scatter_(-1, kept, False)
    found = expand(compress(statistics, tokens, 10), UNIFORM)
    rest = found.mean[others].reshape(TOKENS, -1)
    assert torch.equal(rest, rest[:, :1].expand_as(rest))
    torch.testing.assert_close(
        rest.sum(-1), statistics.mean[others].reshape(TOKENS, -1).sum(-1), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize(
    ("objective", "error_of_a_quarter"),
    # The likelihood's gradient lies in the tail, class by class, which is what is not kept.
    [(reverse_kl_value_and_gradient, 0.02), (likelihood_value_and_gradient, 0.4)],
)
def test_gradients_come_closer_with_more_classes(
    statistics: EnsembleStatistics, tokens: torch.Tensor, objective: object, error_of_a_quarter: float
) -> None:
    logits = torch.randn(TOKENS, CLASSES, generator=torch.Generator().manual_seed(1))

    def gradient(of: EnsembleStatistics) -> torch.Tensor:
        return objective(logits.clone(), of).gradient  # type: ignore[operator, no-any-return]

    exact = gradient(statistics)
    errors = [
        float((gradient(expand(compress(statistics, tokens, top_k), UNIFORM)) - exact).norm() / exact.norm())
        for top_k in (2, 16, 128, CLASSES)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[2] < error_of_a_quarter
    assert errors[3] < 1e-5


def split(rows: Rows, lengths: list[int]) -> list[Rows]:
    columns = {name: column.split(lengths) for name, column in rows.items()}
    return [{name: columns[name][place] for name in columns} for place in range(len(lengths))]


LENGTHS = [3, 1, 30, 6]


@pytest.fixture
def stored(statistics: EnsembleStatistics, tokens: torch.Tensor, tmp_path: Path) -> Path:
    path = tmp_path / "deep" / "targets.h5"
    sentences = split(compress(statistics, tokens, 8), LENGTHS)
    with stored_targets_writer(path, CLASSES, 8, ["a", "b"]) as writer:
        writer.add_subset("train", np.array(LENGTHS))
        writer.write("train", 2, sentences[2:])
        writer.write("train", 0, sentences[:2])
        writer.set_tail(UNIFORM)
    return path


def test_sentences_are_read_in_any_order(
    stored: Path, statistics: EnsembleStatistics, tokens: torch.Tensor
) -> None:
    with StoredTargets(stored) as file:
        assert (file.classes, file.top_k, file.members, file.subsets) == (CLASSES, 8, ["a", "b"], ["train"])
        assert file.sentences("train") == 4
        wanted = torch.cat([tokens[34:40], tokens[0:3]])
        rows, tail = file.read("train", [3, 0], wanted), file.tail
    found, direct = expand(rows, tail), expand(compress(statistics, tokens, 8), UNIFORM)
    torch.testing.assert_close(found.mean, direct.mean[wanted], rtol=6e-3, atol=1e-7)  # float16 of ln p
    torch.testing.assert_close(found.log_mean, direct.log_mean[wanted], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found.mkl, direct.mkl[wanted])
    torch.testing.assert_close(found.mean.double().sum(-1), torch.ones(9, dtype=torch.float64))
    assert not any(
        column.dtype == torch.float32 for column in rows.values()
    )  # what fairseq --fp16 would halve


def test_other_data_are_refused(stored: Path) -> None:
    with StoredTargets(stored) as file, pytest.raises(UserError, match="made from other data"):
        file.read("train", [1], torch.tensor([7]))


def test_files_that_are_none_are_refused(stored: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file of stored targets at"):
        StoredTargets(tmp_path / "nowhere.h5")
    (tmp_path / "text.h5").write_text("no HDF5\n")
    with pytest.raises(UserError, match="or is damaged"):
        StoredTargets(tmp_path / "text.h5")
    (tmp_path / "half.h5").write_bytes(stored.read_bytes()[:3000])
    with pytest.raises(UserError, match="or is damaged"):
        StoredTargets(tmp_path / "half.h5")
    with h5py.File(tmp_path / "other.h5", "w"):
        pass
    with pytest.raises(UserError, match="but none of stored targets"):
        StoredTargets(tmp_path / "other.h5")
    with h5py.File(stored, "r+") as file:
        file.attrs["version"] = 99
    with pytest.raises(UserError, match="has version 99"):
        StoredTargets(stored)


def test_an_interrupted_file_never_appears(tmp_path: Path) -> None:
    path = tmp_path / "targets.h5"
    with pytest.raises(KeyboardInterrupt), stored_targets_writer(path, CLASSES, 8, []):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("top_k", [0, CLASSES + 1])
def test_top_k_is_checked(tmp_path: Path, top_k: int) -> None:
    with (
        pytest.raises(UserError, match="from 1 to the vocabulary's size, 500"),
        stored_targets_writer(tmp_path / "targets.h5", CLASSES, top_k, []),
    ):
        pass


def test_checksum_is_that_of_everybody(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    # the published example of the standard, FIPS 180-4
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert checksum(tmp_path / "file") == expected
