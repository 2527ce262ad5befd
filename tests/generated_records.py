"""Records made up by Hypothesis, for the properties that must hold for all of them."""

from __future__ import annotations

from hypothesis import strategies as st

from ednd_nmt.records import SYSTEMS, WEIGHTINGS, Header, Hypothesis, Sentence

TEXT = st.text(max_size=20)  # every character but halves of surrogate pairs, line ends and NUL among them
NAMES = st.lists(st.sampled_from(["TU", "DU", "MI", "EPKL", "MKL", "sTU", "sMKL"]), unique=True, max_size=4)
NUMBERS = st.floats(-1e6, 1e6).map(lambda value: float(f"{value:.7g}"))  # as exact as a file keeps them


@st.composite
def headers(draw: st.DrawFn) -> Header:
    return Header(
        system=draw(st.sampled_from(SYSTEMS)),
        members=draw(st.integers(1, 99)),
        nbest=draw(st.integers(1, 99)),
        beam=draw(st.none() | st.integers(1, 99)),
        combination=draw(st.none() | st.sampled_from(["pe", "ep"])),
        offset=draw(st.none() | NUMBERS),
        decoding=draw(st.none() | st.sampled_from(["mode", "mean"])),
        source_lang=draw(st.none() | TEXT),
        target_lang=draw(st.none() | TEXT),
        weighting=draw(st.sampled_from(WEIGHTINGS)),
        temperature=draw(st.floats(0.1, 10.0)),
        decision=draw(st.none() | TEXT),
        versions=draw(st.dictionaries(TEXT, TEXT, max_size=3)),
    )


@st.composite
def lists_of_sentences(draw: st.DrawFn, least: int = 0) -> list[Sentence]:
    """The sentences of one file: rising ids, the same measures everywhere (``sTU`` always among them)."""
    ids = sorted(draw(st.lists(st.integers(0, 10**9), unique=True, min_size=least, max_size=3)))
    names = ["sTU", *(name for name in draw(NAMES) if name != "sTU")]
    asked = draw(st.booleans())  # about abstention
    token_names = [*draw(NAMES), "log_probability"]

    def measures() -> dict[str, float]:
        return {name: draw(NUMBERS) for name in names}

    def hypothesis() -> Hypothesis:
        tokens = (*draw(st.lists(TEXT, max_size=3)), "</s>")
        columns = {name: tuple(draw(NUMBERS) for _ in tokens) for name in token_names}
        return Hypothesis(draw(TEXT), tokens, draw(NUMBERS), draw(NUMBERS), measures(), columns)

    return [
        Sentence(
            identifier, draw(TEXT), tuple(hypothesis() for _ in range(draw(st.integers(1, 2)))), measures(),
            draw(st.none() | TEXT), draw(st.booleans()) if asked else None,
        )
        for identifier in ids
    ]  # fmt: skip


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
"""Anything that Python writes as JSON, NaN and whole numbers beyond every float included."""
