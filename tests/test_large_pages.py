"""Advice about large pages: taken for large tensors, and without effect on their values."""

from pathlib import Path

import pytest
import torch

from ednd_nmt import large_pages
from ednd_nmt.large_pages import in_large_pages

MIB = 2**20


def flags_of_memory_at(address: int) -> list[str]:
    """The kernel's flags of the mapping that holds an address; ``hg`` is the advice for large pages."""
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first, _, rest = line.partition(" ")
        if "-" in first and ":" not in first:
            start, end = (int(bound, 16) for bound in first.split("-"))
            inside = start <= address < end
        elif inside and first == "VmFlags:":
            return rest.split()
    raise AssertionError(f"no mapping holds {address:x}")


@pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage").exists(), reason="this system has no large pages to give"
)
def test_a_large_tensor_is_advised_and_its_neighbours_are_not() -> None:
    tensor, stranger = torch.empty(64 * MIB, dtype=torch.uint8), torch.empty(64 * MIB, dtype=torch.uint8)
    assert in_large_pages(tensor) is tensor
    middle = tensor.nbytes // 2
    assert "hg" in flags_of_memory_at(tensor.data_ptr() + middle)
    assert "hg" not in flags_of_memory_at(stranger.data_ptr() + middle)


@pytest.mark.parametrize("elements", [0, 1, 12 * MIB + 5])
def test_values_stay(elements: int) -> None:
    values = torch.arange(elements, dtype=torch.float32)
    assert torch.equal(in_large_pages(values.clone()), values)


def test_tensors_that_are_small_or_scattered_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: int) -> None:
        raise AssertionError("advised")

    monkeypatch.setattr(large_pages, "_madvise", lambda: refuse)
    in_large_pages(torch.empty(1000))
    in_large_pages(torch.empty(4, 16 * MIB)[:, ::2])
    with pytest.raises(AssertionError, match="advised"):
        in_large_pages(torch.empty(16 * MIB))


def test_a_system_without_advice_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_pages, "_madvise", lambda: None)
    tensor = torch.empty(16 * MIB)
    assert in_large_pages(tensor) is tensor
