"""How hypotheses were searched for, in one line for the header of an uncertainty file."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

_OPTIONS = (
    "max_len_a", "max_len_b", "match_source_len", "min_len", "lenpen", "unnormalized", "unkpen", "no_repeat_ngram_size",
    "prefix_size", "temperature", "sampling", "sampling_topk", "sampling_topp", "diverse_beam_groups",
    "diverse_beam_strength", "diversity_rate", "constraints",
)  # fmt: skip
"""fairseq's options of generation on which the hypotheses depend; beam and nbest have fields of their own."""


def search_settings(
    options: Any, *, penalty: float = 0.0, penalty_measure: str = "", seed: int = 1
) -> str | None:
    """What of the search is not fairseq's default, as ``name=value`` with commas between; None if all is.

    Args:
        options: fairseq's generation options, or something with some of their names.
        penalty: of the uncertainty inside the beam; 0 is none.
        penalty_measure: what it acts on.
        seed: of what sampling draws.
    """
    from fairseq.dataclass.configs import GenerationConfig

    defaults = {field.name: field.default for field in fields(GenerationConfig)}
    found = {
        name: getattr(options, name)
        for name in _OPTIONS
        if name in defaults and getattr(options, name, defaults[name]) != defaults[name]
    }
    if found.get("sampling"):
        found["seed"] = seed
    if penalty != 0:
        found |= {"uncertainty_penalty": penalty, "penalty_measure": penalty_measure}
    return ",".join(f"{name}={value}" for name, value in found.items()) or None
