"""COMET, a learned quality of translations, through its own package (the extra ``comet``)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ednd_nmt.errors import UserError
from ednd_nmt.evaluation.quality import Array, SentenceMetric, check_lengths

DEFAULT_MODEL = "Unbabel/wmt22-comet-da"
BATCH = 32  # sentences
NOT_INSTALLED = "COMET is not installed: pip install 'unbabel-comet>=2.2,<3' 'setuptools<81'."


class Comet(SentenceMetric):
    """COMET's scores of single sentences, times 100 (arXiv 2009.09025).

    Neither the package nor the model is loaded before the first score; a model is loaded once per process.

    Args:
        model: a checkpoint file, or a name that COMET's package downloads.
    """

    def __init__(self, model: str = DEFAULT_MODEL) -> None:
        super().__init__("COMET")
        self._model = model

    @property
    def signature(self) -> str:
        return f"nrefs:1|model:{self._model}|version:{metadata.version('unbabel-comet')}"

    def sentence_scores(
        self, hypotheses: Sequence[str], references: Sequence[str], sources: Sequence[str] | None = None
    ) -> Array:
        """See :class:`SentenceMetric`.

        Raises:
            UserError: unequal lengths, no sources, the package is not installed, or it cannot load the model.
        """
        check_lengths(hypotheses, references)
        if sources is None or len(sources) != len(hypotheses):
            raise UserError("COMET needs the source of every translation.")
        import torch

        model = _loaded(self._model)
        samples = [
            {"src": source, "mt": hypothesis, "ref": reference}
            for source, hypothesis, reference in zip(sources, hypotheses, references, strict=True)
        ]
        gpus = min(1, torch.cuda.device_count())
        predicted = model.predict(samples, batch_size=BATCH, gpus=gpus, progress_bar=False)
        return 100.0 * np.array(predicted.scores, dtype=np.float64)


def check_installed() -> None:
    """Refuse to begin where COMET's package is missing, without loading it, which takes its time."""
    if find_spec("comet") is None:
        raise UserError(NOT_INSTALLED)


@cache
def _loaded(name: str) -> Any:
    try:
        from comet import download_model, load_from_checkpoint
    except ImportError as error:
        raise UserError(NOT_INSTALLED) from error
    try:
        return load_from_checkpoint(name if Path(name).is_file() else download_model(name))
    except Exception as error:  # COMET raises bare exceptions
        raise UserError(
            f"COMET cannot load the model {name!r} ({error}); give a checkpoint file or a name that it knows."
        ) from error
