"""Lengths are padded to a few values only, each of which occurs."""

import numpy as np
import pytest
import torch
from fairseq.data import BucketPadLengthDataset


@pytest.mark.parametrize(("buckets", "expected"), [(1, {9}), (3, {2, 5, 9}), (100, {1, 2, 3, 4, 5, 7, 9})])
def test_sizes_become_those_of_their_buckets(buckets: int, expected: set[int]) -> None:
    sizes = np.array([3, 1, 4, 1, 5, 9, 2, 5, 7])
    dataset = BucketPadLengthDataset(
        [torch.ones(size) for size in sizes], sizes, num_buckets=buckets, pad_idx=0, left_pad=False
    )
    padded = [len(dataset[index]) for index in range(len(sizes))]
    assert set(padded) == expected
    assert all(found >= size for found, size in zip(padded, sizes, strict=True))
    assert [int(dataset[index].sum()) for index in range(len(sizes))] == sizes.tolist()
