"""The meaning of a student's logits travels with its model, and contradictions are refused."""

from argparse import Namespace
from typing import Any

import pytest
from omegaconf import OmegaConf

from ednd_nmt.errors import UserError
from ednd_nmt.published import recognise_student
from ednd_nmt.settings import DirichletSettings


@pytest.mark.parametrize("config", [Namespace(arch="transformer"), OmegaConf.create({"arch": "transformer"})])
def test_settings_survive_the_configuration(config: Any) -> None:
    if not isinstance(config, Namespace):
        OmegaConf.set_struct(config, True)
    assert DirichletSettings.of_model(config) is None
    DirichletSettings(2.0).write_to(config)
    assert DirichletSettings.of_model(config) == DirichletSettings(2.0)


@pytest.mark.parametrize("offset", [-1.0, float("nan"), float("inf")])
def test_senseless_offsets(offset: float) -> None:
    with pytest.raises(UserError, match="at least 0"):
        DirichletSettings(offset)


def test_unknown_parametrization() -> None:
    with pytest.raises(UserError, match="known: exp"):
        DirichletSettings(1.0, "softplus")


def test_a_contradicting_flag_is_refused() -> None:
    DirichletSettings(1.0).check_request(None)
    DirichletSettings(1.0).check_request(1.0)
    with pytest.raises(UserError, match="leave the flag out"):
        DirichletSettings(1.0).check_request(0.0)


@pytest.mark.parametrize(
    ("criterion", "task", "expected"),
    [
        ("rkl_dirichlet_proxy_distillation", {"model_offset": 1}, DirichletSettings(1.0)),
        ("sequence_distribution_distillation", {"model_offset": 0}, DirichletSettings(0.0)),
        ("dirichlet_proxy_distillation", {}, DirichletSettings(0.0)),  # the published code's default
        ("forward_kl_mean_distillation", {"model_offset": 1}, None),
        ("label_smoothed_cross_entropy", {}, None),
    ],
)
def test_published_students_are_recognised(
    criterion: str, task: dict[str, Any], expected: DirichletSettings | None
) -> None:
    state = {
        "cfg": OmegaConf.create(
            {"model": Namespace(arch="transformer"), "criterion": {"_name": criterion}, "task": task},
            flags={"allow_objects": True},
        )
    }
    assert DirichletSettings.of_model(recognise_student(state)["cfg"].model) == expected


def test_own_settings_win_over_the_criterion() -> None:
    model = Namespace(dirichlet_offset=3.0)
    config = {
        "model": model,
        "criterion": Namespace(_name="rkl_dirichlet_proxy_distillation"),
        "task": Namespace(),
    }
    recognise_student({"cfg": config})
    assert DirichletSettings.of_model(model) == DirichletSettings(3.0)
