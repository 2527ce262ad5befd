"""The candidates of a step, against fairseq's own selection."""

from __future__ import annotations

import pytest
import torch

import ednd_nmt  # noqa: F401 - makes fairseq work


@pytest.mark.parametrize("classes", [20, 37, 500, 1603])
@pytest.mark.parametrize("beams", [1, 4, 5])
@pytest.mark.parametrize("step", [0, 3])
def test_candidates_are_those_of_fairseq(classes: int, beams: int, step: int) -> None:
    from fairseq.data import Dictionary
    from fairseq.search import BeamSearch

    from ednd_nmt.beam_search import GroupedBeamSearch

    generator = torch.Generator().manual_seed(classes + beams)
    for spread in (0.1, 3.0):
        logits = spread * torch.randn(7, beams, classes, generator=generator)
        log_probabilities = logits.log_softmax(-1)
        log_probabilities[:, :, 1] = -torch.inf  # padding
        log_probabilities[2, :, : classes - 3] = -torch.inf  # few are allowed, and in no group
        scores = -torch.rand(7, beams, 4, generator=generator).cumsum(-1)
        expected, found = (
            search(Dictionary()).step(step, log_probabilities.clone(), scores[:, :, :step])
            for search in (BeamSearch, GroupedBeamSearch)
        )
        finite = expected[0].isfinite()
        assert torch.equal(found[0], expected[0])
        for mine, theirs in zip(found[1:], expected[1:], strict=True):
            assert torch.equal(mine[finite], theirs[finite])
