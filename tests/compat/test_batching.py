"""No sentence is lost between a data set and its batches."""

from typing import Any

import numpy as np
import pytest
from fairseq.data import data_utils
from fairseq.data.data_utils import batch_by_size

UNREPAIRED = getattr(batch_by_size, "__wrapped__", batch_by_size)


def batches(
    count: int, multiple: int, max_sentences: int | None, vector: bool, function: Any = batch_by_size
) -> tuple[Any, Any]:
    sizes = np.random.RandomState(count).randint(1, 30, size=max(count, 1)).astype(np.int64)
    indices = np.argsort(sizes[:count], kind="stable").astype(np.int64)
    return indices, function(
        indices,
        num_tokens_fn=lambda index: sizes[index],
        num_tokens_vec=sizes[indices] if vector else None,
        max_tokens=100,
        max_sentences=max_sentences,
        required_batch_size_multiple=multiple,
    )


@pytest.mark.parametrize("vector", [True, False], ids=["vector", "function"])
@pytest.mark.parametrize("max_sentences", [None, 5, 8])
@pytest.mark.parametrize("multiple", [1, 4, 8])
@pytest.mark.parametrize("count", [0, 1, 3, 7, 8, 9, 13, 50])
def test_every_index_is_in_one_batch_in_order(
    count: int, multiple: int, max_sentences: int | None, vector: bool
) -> None:
    indices, result = batches(count, multiple, max_sentences, vector)
    assert [index for batch in result for index in batch] == indices.tolist()
    assert all(len(batch) for batch in result)


@pytest.mark.skipif(UNREPAIRED is batch_by_size, reason="this fairseq keeps its last batch")
def test_without_the_repair_sentences_are_lost() -> None:
    indices, result = batches(50, multiple=8, max_sentences=8, vector=True, function=UNREPAIRED)
    assert sum(len(batch) for batch in result) < len(indices)


def test_indices_may_be_any_iterable() -> None:
    result = data_utils.batch_by_size(
        iter(range(3)), lambda index: 1, max_sentences=2, required_batch_size_multiple=2
    )
    assert [list(batch) for batch in result] == [[0, 1], [2]]


def test_fixed_shapes_are_passed_through() -> None:
    result = data_utils.batch_by_size(np.arange(4), lambda index: 2, fixed_shapes=[(2, 2)])
    assert [sorted(batch) for batch in result] == [[0, 1], [2, 3]]
