"""How a command ends: one sentence and an exit status for whatever went wrong."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from ednd_nmt.errors import UserError, exit_status, require_not_negative, sentence_of_another_process


def raising(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (UserError("Mend it so."), 2, "error: Mend it so."),
        (FileNotFoundError(2, "No such file", "a.pt"), 2, "error: a.pt: No such file; check this path."),
        (FileNotFoundError("no player is set up"), 2, "error: a path: no player is set up; check this path."),
        (IsADirectoryError(21, "Is a directory", "data"), 2, "error: data: Is a directory; check this path."),
        (OSError(28, "No space left"), 1, "error: the machine: No space left"),
        (PermissionError(13, "Permission denied", "out"), 1, "error: out: Permission denied"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
    ids=str,
)
def test_what_went_wrong_is_a_sentence_and_a_status(
    error: BaseException, status: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_status(lambda: raising(error)) == status
    assert capsys.readouterr().err == sentence + "\n"


@pytest.mark.parametrize(("returned", "status"), [(None, 0), (0, 0), (3, 3)])
def test_a_status_of_its_own_is_kept(returned: int | None, status: int) -> None:
    assert exit_status(lambda: returned) == status


def test_other_errors_are_not_the_users() -> None:
    with pytest.raises(ZeroDivisionError):
        exit_status(lambda: raising(ZeroDivisionError()))


@pytest.mark.parametrize("number", [-0.5, math.inf, math.nan])
def test_a_number_below_0_is_named(number: float) -> None:
    require_not_negative(offset=0.0, target_offset=2.0)
    with pytest.raises(UserError, match=f"target_offset is {number:g}; give a finite number"):
        require_not_negative(offset=1.0, target_offset=number)


def refusing(rank: int) -> None:
    raise UserError(f"Process {rank} has no member; mend its path.")


def dividing(rank: int) -> None:
    raise ZeroDivisionError(rank)


def test_the_sentence_of_a_spawned_process_is_found() -> None:
    """As fairseq spawns one process for each GPU of a node."""
    found = []
    for function in (refusing, dividing):
        with pytest.raises(torch.multiprocessing.ProcessRaisedException) as raised:
            torch.multiprocessing.spawn(function, nprocs=1)
        found.append(sentence_of_another_process(raised.value))
    assert found == ["Process 0 has no member; mend its path.", None]
    assert sentence_of_another_process(UserError("x")) is None


def test_the_sentence_of_a_process_that_reads_batches_is_found() -> None:
    """As fairseq starts one unless --num-workers is 0."""
    numbers = TensorDataset(torch.zeros(1))
    loader: DataLoader[Any] = DataLoader(numbers, collate_fn=lambda _: refusing(0), num_workers=1)
    with pytest.raises(UserError, match="Traceback") as raised:
        next(iter(loader))
    assert sentence_of_another_process(raised.value) == "Process 0 has no member; mend its path."
