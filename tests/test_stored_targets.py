"""What is kept of an ensemble's opinion: exact where it claims to be, and better the more classes are kept."""

from __future__ import annotations

import random
import signal
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from own_process import python

from ednd_nmt.ensemble import EnsembleStatistics, ensemble_statistics
from ednd_nmt.errors import UserError
from ednd_nmt.objectives.likelihood import likelihood_value_and_gradient
from ednd_nmt.objectives.reverse_kl import reverse_kl_value_and_gradient
from ednd_nmt.stored_targets import (
    Rows,
    StoredTargets,
    TailAverage,
    TailShape,
    compress,
    expand,
)
from ednd_nmt.stored_targets_writer import StoredTargetsWriter, stored_targets_writer

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


def writer_of(
    path: Path, top_k: int = 8, say: Callable[[str], None] = print, data: str = "x"
) -> AbstractContextManager[StoredTargetsWriter]:
    lengths, maker = {"train": np.array(LENGTHS)}, {"data": data}
    return stored_targets_writer(path, lengths, CLASSES, top_k, ["a", "b"], maker, say)


@pytest.fixture
def stored(statistics: EnsembleStatistics, tokens: torch.Tensor, tmp_path: Path) -> Path:
    path = tmp_path / "deep" / "targets.h5"
    sentences = split(compress(statistics, tokens, 8), LENGTHS)
    with writer_of(path) as writer:
        writer.write("train", 2, sentences[2:])
        writer.write("train", 0, sentences[:2])
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


def test_compressed_files_are_read_as_well(stored: Path, tmp_path: Path, tokens: torch.Tensor) -> None:
    """As h5repack makes them, whose rows do not lie in one piece."""
    with h5py.File(stored) as source, h5py.File(tmp_path / "small.h5", "w") as copy:
        copy.attrs.update(source.attrs)
        for name in ("train/offsets", "tail/probability", "tail/log_probability"):
            copy[name] = source[name][:]
        copy.create_dataset(
            "train/rows", data=source["train/rows"][:], chunks=(8,), compression="gzip", shuffle=True
        )
    with StoredTargets(stored) as mapped, StoredTargets(tmp_path / "small.h5") as compressed:
        for first, second in zip(
            mapped.read("train", [2, 0], torch.cat([tokens[4:34], tokens[:3]])).values(),
            compressed.read("train", [2, 0], torch.cat([tokens[4:34], tokens[:3]])).values(),
            strict=True,
        ):
            assert torch.equal(first, second)


def test_an_interrupted_file_never_appears(tmp_path: Path) -> None:
    path = tmp_path / "targets.h5"
    with pytest.raises(KeyboardInterrupt), writer_of(path):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


class Story:
    """The statistics of a test in two halves, written as ``ednd-nmt store`` writes them; what was said is kept."""

    def __init__(self, statistics: EnsembleStatistics, tokens: torch.Tensor) -> None:
        self.news: list[str] = []
        self._parts = []
        for part in (slice(0, 34), slice(34, TOKENS)):
            half = EnsembleStatistics(**{name: column[part] for name, column in vars(statistics).items()})
            self._parts.append((half, compress(half, tokens[part], 8)))

    def write(self, path: Path, interrupted: bool = False, data: str = "x") -> None:
        with writer_of(path, say=self.news.append, data=data) as writer:
            for first, last, (half, rows) in ((0, 3, self._parts[0]), (3, 4, self._parts[1])):
                if last <= writer.done:
                    continue
                writer.tail.add(half, rows)
                writer.write("train", first, split(rows, LENGTHS[first:last]))
                if interrupted and last == 4:
                    raise KeyboardInterrupt
                writer.commit(last)


@pytest.fixture
def story(statistics: EnsembleStatistics, tokens: torch.Tensor) -> Story:
    return Story(statistics, tokens)


def contents(path: Path) -> dict[str, bytes]:
    with h5py.File(path) as file:
        names: list[str] = []
        file.visit(names.append)
        found = {name: file[name][:].tobytes() for name in names if isinstance(file[name], h5py.Dataset)}
        return {**found, "attributes": repr(sorted(file.attrs.items(), key=str)).encode()}


def test_an_interrupted_run_is_gone_on_with(story: Story, tmp_path: Path) -> None:
    story.write(tmp_path / "whole.h5")
    assert not story.news
    path = tmp_path / "targets.h5"
    with pytest.raises(KeyboardInterrupt):
        story.write(path, interrupted=True)
    assert not path.exists()
    assert "3 sentences are kept" in story.news.pop()
    story.write(path)
    assert story.news == [f"going on after the 3 sentences in {path}.partial"]
    assert contents(path) == contents(tmp_path / "whole.h5")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["targets.h5", "whole.h5"]


def test_an_interrupted_run_of_other_members_is_not(story: Story, tmp_path: Path) -> None:
    path = tmp_path / "targets.h5"
    with pytest.raises(KeyboardInterrupt):
        story.write(path, interrupted=True)
    story.news.clear()
    story.write(path, data="y")
    assert story.news == [f"{path}.partial was made with another data; starting from the beginning"]
    story.write(tmp_path / "whole.h5")
    assert contents(path) == contents(tmp_path / "whole.h5")


@pytest.mark.parametrize("damage", ["journal", "file"])
def test_what_is_damaged_is_not_gone_on_with(story: Story, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "targets.h5"
    with pytest.raises(KeyboardInterrupt):
        story.write(path, interrupted=True)
    story.news.clear()
    damaged = tmp_path / ("targets.h5.partial.json" if damage == "journal" else "targets.h5.partial")
    damaged.write_bytes(damaged.read_bytes()[:100])
    with pytest.raises(KeyboardInterrupt):  # and the journal never vouches for a file that it is not of
        story.write(path, interrupted=True)
    story.news.clear()
    story.write(path)
    story.write(tmp_path / "whole.h5")
    assert contents(path) == contents(tmp_path / "whole.h5")


SCRIPT = """
import os, signal, sys
from pathlib import Path
import numpy as np, torch
from ednd_nmt.ensemble import ensemble_statistics
from ednd_nmt.stored_targets import compress
from ednd_nmt.stored_targets_writer import stored_targets_writer

kill_at, lengths = int(sys.argv[2]), np.full(64, 5)
moments = iter(range(10**6))

def moment(*_):
    if next(moments) == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)

def say(line):
    print(line, file=sys.stderr, flush=True)

sys.addaudithook(lambda event, _: moment() if event in ("open", "os.rename", "os.remove") else None)
with stored_targets_writer(sys.argv[1], {"train": lengths}, 50, 4, [], {}, say) as writer:
    for start in range(0, 64, 8):
        if start < writer.done:
            continue
        generator = torch.Generator().manual_seed(start)
        statistics = ensemble_statistics([torch.randn(40, 50, generator=generator) for _ in range(2)])
        rows = compress(statistics, torch.arange(40), 4)
        writer.tail.add(statistics, rows)
        moment()
        sentences = [{name: column[5 * n : 5 * n + 5] for name, column in rows.items()} for n in range(8)]
        writer.write("train", start, sentences[:4])
        moment()
        writer.write("train", start + 4, sentences[4:])
        moment()
        writer.commit(start + 8)
        moment()
    print("written", next(moments))
"""


def run_script(script: str, path: Path, kill_at: int) -> subprocess.CompletedProcess[str]:
    return python("-c", script, path, kill_at)


@pytest.mark.slow
def test_a_file_has_one_writer(tmp_path: Path) -> None:
    path = tmp_path / "targets.h5"
    with writer_of(path) as writer:
        other = run_script(SCRIPT, path, -1)
        assert other.returncode == 1
        assert f"UserError: Another run is writing {path}; wait for its end" in other.stderr
        writer.commit(0)  # and this one goes on


@pytest.mark.slow(seconds=13)
def test_kill_9_at_any_moment(tmp_path: Path) -> None:
    whole = run_script(SCRIPT, tmp_path / "whole.h5", -1)
    assert whole.returncode == 0, whole.stderr
    path, kills, news, generator = tmp_path / "targets.h5", 0, "", random.Random(1)
    moments = int(whole.stdout.split()[-1])
    while not path.exists():
        assert kills < 40
        result = run_script(SCRIPT, path, generator.randrange(moments // 3, moments))
        assert result.returncode in (0, -signal.SIGKILL), result.stderr
        kills += result.returncode != 0
        news += result.stderr
    assert kills
    assert "going on after" in news
    assert run_script(SCRIPT, path, -1).returncode == 0  # whatever a kill after the last rename has left
    assert contents(path) == contents(tmp_path / "whole.h5")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["targets.h5", "whole.h5"]


@pytest.mark.parametrize("top_k", [0, CLASSES + 1])
def test_top_k_is_checked(tmp_path: Path, top_k: int) -> None:
    with (
        pytest.raises(UserError, match="from 1 to the vocabulary's size, 500"),
        writer_of(tmp_path / "targets.h5", top_k),
    ):
        pass
