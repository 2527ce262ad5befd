"""Sequence measures from token-level columns."""

import numpy as np
import pytest

from ednd_nmt.measures import (
    MEASURES,
    Columns,
    SequenceMeasure,
    hypothesis_measures,
    register_measure,
)

COLUMNS = {
    "TU": np.array([0.5, 1.0, 0.0]),
    "DU": np.array([0.25, 0.5, 0.0]),
    "MI": np.array([0.25, 0.5, 0.0]),
    "EPKL": np.array([0.5, 1.0, 0.0]),
    "MKL": np.array([0.25, 0.5, 0.0]),
    "log_probability": np.array([-1.0, -2.0, -3.0]),
    "sMKL": np.array([0.1, 0.2, 0.3]),
    "logvar": np.array([0.9, 0.9, 0.9]),
}


def test_values() -> None:
    assert hypothesis_measures(COLUMNS) == pytest.approx(
        {
            "TU": 0.5, "DU": 0.25, "MI": 0.25, "EPKL": 0.5, "MKL": 0.25,
            "sTU": 2.0, "sMKL": 0.2, "sDU": 2.2, "logvar": 2.7 / 9,
        }
    )  # fmt: skip


def test_measures_of_the_members() -> None:
    """Against the definitions, from the members' scores of the whole sequence."""
    tokens = np.log(np.array([[0.5, 0.2], [0.3, 0.9], [0.8, 0.7]]))  # [L, M]
    found = hypothesis_measures({"member_log_probability": tokens})
    p = np.exp(tokens).prod(axis=0)
    per_token = p ** (1 / 3)
    ep, pe = np.log(p.mean()) / 3, np.log(np.exp(tokens).mean(axis=1)).sum() / 3
    mean = np.log(p).mean() / 3
    expected = {
        "logvar": np.var(np.log(p) / 3),
        "EP-sTU": -ep,
        "EP-sMKL": ep - mean,
        "PE-sTU": -pe,
        "PE-sMKL": pe - mean,
        "var": np.var(per_token),
        "varcombo": np.var(per_token) / np.exp(ep) - 1,
        "logcombo": np.var(np.log(p) / 3) / -mean - 1,
    }
    assert found == pytest.approx(expected)
    spread = hypothesis_measures({"member_log_probability": tokens + np.array([0.1, -0.1])})
    assert spread["logcombo"] > found["logcombo"]  # the same mean, more disagreement
    certain = hypothesis_measures({"member_log_probability": np.zeros((3, 2))})
    assert certain["logcombo"] == certain["varcombo"] == -1
    improbable = hypothesis_measures({"member_log_probability": np.full((3, 2), -900.0)})
    assert all(np.isfinite(value) for value in improbable.values())


def test_what_a_system_lacks_is_absent() -> None:
    single = {name: COLUMNS[name] for name in ("TU", "log_probability")}
    assert hypothesis_measures(single).keys() == {"TU", "sTU"}


def test_a_user_registers_a_measure() -> None:
    @register_measure("largest-MI")
    class LargestMutualInformation(SequenceMeasure):
        columns = ("MI",)

        def of_hypothesis(self, columns: Columns) -> float:
            return float(np.max(columns["MI"]))

    try:
        assert hypothesis_measures(COLUMNS)["largest-MI"] == 0.5
        with pytest.raises(ValueError, match="registered already"):

            @register_measure("largest-MI")
            class Other(LargestMutualInformation):
                pass
    finally:
        del MEASURES["largest-MI"]
