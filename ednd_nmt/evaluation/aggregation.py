r"""From hypotheses to the sentence: ``U(x) = sum_s w_s U(y_s)`` over the n-best (arXiv 2002.07650).

Weights: ``posterior`` is ``softmax(ln P(y_s | x) / T)``, ``uniform`` is ``1 / S``, ``best`` puts all on the
first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ednd_nmt.errors import UserError
from ednd_nmt.records import WEIGHTINGS, Hypothesis

OF_PAIRS = "disagreement"
"""The measure of a sentence that is a mean over pairs of hypotheses (:mod:`ednd_nmt.evaluation.disagreement`)."""


def hypothesis_weights(
    log_probability: npt.ArrayLike, weighting: str = "posterior", temperature: float = 1.0
) -> npt.NDArray[np.float64]:
    """Weights ``[..., S]`` that sum to one over the last axis.

    Args:
        log_probability: ``ln P(y_s | x)``, ``[..., S]``, nats; ``-inf`` marks a place without a hypothesis
            (shorter n-best lists are padded with it) and gets weight zero. The first of a list must exist.
        weighting: ``posterior``, ``uniform`` or ``best``.
        temperature: T > 0 of the posterior weighting.

    Raises:
        UserError: unknown weighting, or a temperature that is not positive.
    """
    scores = np.asarray(log_probability, dtype=np.float64)
    if weighting == "posterior":
        if not temperature > 0:
            raise UserError(f"The temperature of the n-best weights must be above 0, not {temperature}.")
        unnormalised = np.exp((scores - scores.max(axis=-1, keepdims=True)) / temperature)
    elif weighting == "uniform":
        unnormalised = np.isfinite(scores).astype(np.float64)
    elif weighting == "best":
        unnormalised = np.zeros_like(scores)
        unnormalised[..., 0] = 1.0
    else:
        raise UserError(f"Unknown n-best weighting {weighting!r}; choose one of {', '.join(WEIGHTINGS)}.")
    return unnormalised / unnormalised.sum(axis=-1, keepdims=True)


def sentence_measures(
    hypotheses: Sequence[Hypothesis], weighting: str = "posterior", temperature: float = 1.0
) -> dict[str, float]:
    """The measures of a sentence, weighted means of those of its hypotheses and in the same units.

    ``disagreement`` is none of them: that of a hypothesis is of the list and the weights that it was computed with.
    """
    weights = hypothesis_weights([h.log_probability for h in hypotheses], weighting, temperature)
    return {
        name: float(weights @ np.array([hypothesis.measures[name] for hypothesis in hypotheses]))
        for name in hypotheses[0].measures
        if name != OF_PAIRS
    }
