"""What kind of system a list of models is."""

from types import SimpleNamespace

import pytest

from ednd_nmt.errors import UserError
from ednd_nmt.settings import DirichletSettings
from ednd_nmt.system import System

PLAIN = SimpleNamespace(dirichlet=None)
STUDENT = SimpleNamespace(dirichlet=DirichletSettings(1.0))
OTHER_OFFSET = SimpleNamespace(dirichlet=DirichletSettings(0.5))


def test_kinds() -> None:
    assert System.of_models([PLAIN]) == System("single", 1)
    assert System.of_models([PLAIN, PLAIN, PLAIN]) == System("ensemble", 3, combination="pe")
    assert System.of_models([STUDENT], 1.0) == System("student", 1, DirichletSettings(1.0), "mode")
    assert System.of_models([STUDENT, STUDENT]) == System("student", 2, DirichletSettings(1.0), "mode", "pe")


def test_a_combination_needs_several_models() -> None:
    assert System.of_models([PLAIN, PLAIN], combination="ep") == System("ensemble", 2, combination="ep")
    assert System.of_models([STUDENT, STUDENT], combination="ep").combination == "ep"
    for models in ([PLAIN], [STUDENT]):
        with pytest.raises(UserError, match="needs several models"):
            System.of_models(models, combination="ep")


@pytest.mark.parametrize(
    ("models", "offset", "message"),
    [
        ([PLAIN, STUDENT], None, "1 of the 2 checkpoints"),
        ([STUDENT, OTHER_OFFSET], None, r"different offsets \(1, 0.5\)"),
        ([STUDENT, STUDENT], 0.5, "contradicts the model"),
        ([PLAIN], 1.0, "no checkpoint is a Dirichlet student"),
        ([STUDENT], 0.5, "contradicts the model"),
    ],
)
def test_what_fits_no_kind(models: list[SimpleNamespace], offset: float | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        System.of_models(models, offset)


def test_the_offset_of_the_measures_is_chosen() -> None:
    system = System.of_models([STUDENT, STUDENT], uncertainty_offset=0.0)
    assert system.settings == DirichletSettings(0.0)
    assert System.of_models([STUDENT], 1.0, uncertainty_offset=0.0).settings == DirichletSettings(0.0)
    for offset in (-1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match="give a finite number that is at least 0"):
            System.of_models([STUDENT], uncertainty_offset=offset)
    with pytest.raises(UserError, match="leave out --uncertainty-offset"):
        System.of_models([PLAIN, PLAIN], uncertainty_offset=0.0)


def test_plain_models_have_no_mean_of_a_dirichlet() -> None:
    with pytest.raises(UserError, match="Only a Dirichlet student can be decoded with its mean"):
        System.of_models([PLAIN, PLAIN], decoding="mean")


@pytest.mark.parametrize(
    ("scored", "search"),
    [
        (
            False,
            "lenpen=0.6,retain_dropout=True,retain_dropout_modules=['TransformerModel'],lm_path=a/best.pt,lm_weight=0.3,"
            "seed=7,uncertainty_penalty=0.5,penalty_measure=TU",
        ),
        (True, "lenpen=0.6,retain_dropout=True,retain_dropout_modules=['TransformerModel'],seed=7"),
    ],
)
def test_the_header_has_the_options_that_matter(scored: bool, search: str) -> None:
    options = SimpleNamespace(
        beam=4, nbest=2, lenpen=0.6, retain_dropout=True, retain_dropout_modules=["TransformerModel"],
        lm_path="a/best.pt", lm_weight=0.3,
    )  # fmt: skip
    header = System("single", 1).header(options, scored=scored, penalty=0.5, penalty_measure="TU", seed=7)
    assert (header.beam, header.nbest) == ((None, 1) if scored else (4, 2))
    assert header.search == search
