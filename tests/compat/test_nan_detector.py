"""fairseq's search for a NaN gets to its end."""

import logging

import pytest
import torch

from ednd_nmt.compat import nan_detector


class Encoder(torch.nn.Module):
    """Returns its states in lists in a dictionary, as fairseq's encoders do."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)

    def forward(self, values: torch.Tensor) -> dict[str, list[torch.Tensor]]:
        return {"encoder_out": [self.layer(values)]}


def test_the_module_that_made_a_nan_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    from fairseq.nan_detector import NanDetector

    encoder = Encoder()
    assert not nan_detector.is_searching(encoder)
    with caplog.at_level(logging.WARNING), NanDetector(encoder):
        assert nan_detector.is_searching(encoder)
        encoder(torch.full((1, 2), torch.nan))["encoder_out"][0].sum().backward()
    assert "NaN detected in output of layer" in caplog.text
    assert not nan_detector.is_searching(encoder)


def test_not_needed_any_more() -> None:
    assert not any(repair.needed() for repair in nan_detector.REPAIRS)
