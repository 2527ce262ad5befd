"""No n-gram comes twice where it is forbidden, and nothing else is forbidden."""

from collections.abc import Sequence

import pytest
import torch
from fairseq.ngram_repeat_block import NGramRepeatBlock

EOS, PAD, CLASSES = 2, 1, 9


def banned(prefix: Sequence[int], size: int) -> set[int]:
    """What may not follow a prefix, in a buffer that is longer than it, as the search has it."""
    tokens = torch.full((2, len(prefix) + 5), PAD)
    tokens[:, 0] = EOS
    tokens[0, 1 : len(prefix) + 1] = torch.tensor(prefix, dtype=torch.long)
    found = NGramRepeatBlock(size)(tokens, torch.zeros(2, CLASSES), 1, 2, len(prefix))
    return set(found[0].isneginf().nonzero().flatten().tolist())


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("prefix", [[], [4], [4, 5, 4], [4, 4, 4], [3, 4, 5, 6, 3, 4], [7, 3, 7, 3, 7]])
def test_what_would_be_said_twice_is_forbidden(prefix: list[int], size: int) -> None:
    said = {tuple(prefix[i : i + size]) for i in range(len(prefix) - size + 1)}
    expected = {
        token
        for token in range(CLASSES)
        if tuple([*prefix, token][-size:]) in said and len(prefix) >= size - 1
    }
    assert banned(prefix, size) == expected
