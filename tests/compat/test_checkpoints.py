"""What fairseq's checkpoints hold is loaded; anything else is refused before it can run."""

import argparse
import collections
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fairseq import checkpoint_utils
from fairseq.logging import meters
from own_process import python

from ednd_nmt.compat.checkpoints import TRUST_VARIABLE, read_checkpoint
from ednd_nmt.errors import UserError

FORMATS = pytest.mark.parametrize("archive", [True, False], ids=["archive", "old format"])


class Malicious:
    """Unpickled, it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.marker}'",)


def state(**more: Any) -> dict[str, Any]:
    settings = argparse.Namespace(arch="transformer", lr=[0.1], task="translation")
    return {
        "args": settings,
        "model": collections.OrderedDict(weight=torch.arange(3.0)),
        "optimizer_history": [{"optimizer_name": "FairseqAdam", "lr_scheduler_state": {}, "num_updates": 1}],
        "extra_state": {},
        **more,
    }


def save(state: dict[str, Any], path: Path, archive: bool = True) -> Path:
    torch.save(state, path, _use_new_zipfile_serialization=archive)
    return path


def readers() -> list[Any]:
    return [read_checkpoint, lambda path: checkpoint_utils.load_checkpoint_to_cpu(str(path))]


READERS = pytest.mark.parametrize("read", readers(), ids=["own reader", "fairseq's reader"])


@FORMATS
@READERS
@pytest.mark.parametrize(
    "value",
    [
        np.float64(0.5),
        np.float32(0.5),
        np.int64(7),
        np.bool_(True),
        np.arange(4),
        np.ones((2, 3), dtype=np.float32),
        np.array(["a", "bc"]),
        np.array([]),
    ],
    ids=lambda value: f"{type(value).__name__}-{value.dtype}",
)
def test_numpy_values(tmp_path: Path, value: Any, read: Any, archive: bool) -> None:
    path = save(state(extra_state={"best": value}), tmp_path / "checkpoint.pt", archive)
    best = read(path)["extra_state"]["best"]
    assert type(best) is type(value)
    np.testing.assert_array_equal(best, value)


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_numpy_values_written_by_the_other_numpy(tmp_path: Path, module: str) -> None:
    path = save(state(extra_state={"best": np.float64(0.5), "all": np.arange(3)}), tmp_path / "checkpoint.pt")
    names = (b"numpy.core.multiarray", b"numpy._core.multiarray")
    rewritten = tmp_path / "rewritten.pt"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(rewritten, "w") as target:
        for entry in source.namelist():
            data = source.read(entry)
            if entry.endswith("data.pkl"):
                assert any(name in data for name in names)
                for name in names:
                    data = data.replace(b"c" + name + b"\n", b"c" + module.encode() + b"\n")
            target.writestr(entry, data)
    assert read_checkpoint(rewritten)["extra_state"]["best"] == 0.5


@READERS
def test_settings_and_weights(tmp_path: Path, read: Any) -> None:
    loaded = read(save(state(), tmp_path / "checkpoint.pt"))
    assert loaded["args"] == state()["args"]
    torch.testing.assert_close(loaded["model"]["weight"], torch.arange(3.0))


def test_meters_of_fairseq_before_0_9(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meters.AverageMeter, "__module__", "fairseq.meters")
    meter = meters.AverageMeter()
    meter.update(3.0)
    path = save(
        state(extra_state={"train_meters": collections.OrderedDict(loss=meter)}), tmp_path / "checkpoint.pt"
    )
    assert read_checkpoint(path)["extra_state"]["train_meters"]["loss"].avg == 3.0


@FORMATS
@READERS
@pytest.mark.parametrize("place", ["args", "model", "nested"])
def test_nothing_in_a_malicious_checkpoint_runs(tmp_path: Path, place: str, read: Any, archive: bool) -> None:
    marker = tmp_path / "it ran"
    evil = state()
    if place == "nested":
        evil["args"].data = Malicious(marker)
    else:
        evil[place] = Malicious(marker)
    path = save(evil, tmp_path / "checkpoint.pt", archive)
    with pytest.raises(UserError, match=r"posix\.system.*" + TRUST_VARIABLE) as refusal:
        read(path)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not marker.exists()
    with open(path, "rb") as file:  # the danger is real: this is what loading everything does
        torch.load(file, weights_only=False)
    assert marker.exists()


def test_all_that_it_asks_for_is_named(tmp_path: Path) -> None:
    path = save(state(a=Malicious(tmp_path / "marker"), b=np.array([None])), tmp_path / "checkpoint.pt")
    with pytest.raises(
        UserError, match=r"asks for numpy\.dtypes\.ObjectDType, posix\.system|asks for posix\.system"
    ):
        read_checkpoint(path)


def test_a_bare_pickle_is_refused(tmp_path: Path) -> None:
    marker = tmp_path / "it ran"
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(pickle.dumps({"model": Malicious(marker)}))
    with pytest.raises(UserError):
        read_checkpoint(path)
    assert not marker.exists()


def test_the_risk_can_be_accepted(tmp_path: Path) -> None:
    marker = tmp_path / "it ran"
    path = save(state(cfg_of_mine=Malicious(marker)), tmp_path / "checkpoint.pt")
    code = f"from ednd_nmt.compat.checkpoints import read_checkpoint; read_checkpoint({str(path)!r})"
    ended = python("-c", code, environment={TRUST_VARIABLE: "1"})
    assert ended.returncode == 0, ended.stderr
    assert marker.exists()


@FORMATS
@READERS
def test_a_damaged_checkpoint_is_one_sentence(tmp_path: Path, read: Any, archive: bool) -> None:
    whole = save(state(), tmp_path / "whole.pt", archive).read_bytes()
    path = tmp_path / "cut.pt"
    for length in (0, 1, 10, len(whole) // 3, len(whole) // 2, len(whole) - 10):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="damaged") as refusal:
            read(path)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "content", [b"some text\n" * 100, bytes(range(256)) * 10, b"PK\x03\x04" + bytes(100)]
)
@READERS
def test_a_file_of_something_else_is_one_sentence(tmp_path: Path, content: bytes, read: Any) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged or no checkpoint"):
        read(path)


def test_no_file_no_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        read_checkpoint(tmp_path / "missing.pt")
    with pytest.raises(UserError, match="Is a directory"):
        read_checkpoint(tmp_path)
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    with pytest.raises(UserError, match="holds no model"):
        read_checkpoint(tmp_path / "list.pt")


@READERS
def test_weights_that_changed_on_the_disk_are_refused(tmp_path: Path, read: Any) -> None:
    """torch itself loads them without a word."""
    path = save(state(model={"weight": torch.zeros(1000)}), tmp_path / "checkpoint.pt")
    data = bytearray(path.read_bytes())
    data[data.index(bytes(4000)) + 2000] ^= 1
    path.write_bytes(data)
    assert torch.load(path)["model"]["weight"].count_nonzero() == 1
    with pytest.raises(UserError, match=r"checkpoint\.pt is damaged \(.*data/\d+\); copy it again"):
        read(path)


def test_a_copy_that_breaks_off_leaves_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """fairseq makes checkpoint_last.pt by copying; it was written over, from its beginning."""
    from fairseq.file_io import PathManager

    new, last = tmp_path / "checkpoint_1_3.pt", tmp_path / "checkpoint_last.pt"
    new.write_bytes(b"new weights")
    last.write_bytes(b"old weights")

    def break_off(source: str, destination: str) -> None:
        Path(destination).write_bytes(b"new")
        raise KeyboardInterrupt

    monkeypatch.setattr("shutil.copyfile", break_off)
    with pytest.raises(KeyboardInterrupt):
        PathManager.copy(str(new), str(last), overwrite=True)
    monkeypatch.undo()
    assert last.read_bytes() == b"old weights"
    assert PathManager.copy(str(new), str(last), overwrite=True)
    assert last.read_bytes() == b"new weights"
    assert sorted(tmp_path.iterdir()) == [new, last]
