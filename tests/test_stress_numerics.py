"""The script that looks for values that are not finite finds them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scripts import stress_numerics
from scripts.stress_numerics import VALUES, Extremes, not_finite, statistics

LINE = '2026-01-01 | INFO | train_inner | {"epoch": 1, "loss": "-3.5", "gnorm": "0.2", "num_updates": "%s"}'


def test_values_of_an_update_are_looked_at() -> None:
    assert statistics("epoch 001 | loss nan") is None
    assert statistics("1 | [1]") is None
    found = statistics(LINE % 1)
    assert found is not None
    whole = {**found, "teacher_precision": "10", "student_precision": "20"}
    seen = Extremes()
    seen.add(whole)
    seen.add({**whole, "num_updates": "2", "loss": "4"})
    assert str(seen).startswith("loss -3.5 to 4, gnorm 0.2 to 0.2,")
    for name in VALUES:
        for value in ("nan", "inf", "-inf"):
            with pytest.raises(SystemExit, match=f"update 1: {name} is {value}"):
                Extremes().add({**whole, name: value})
        with pytest.raises(SystemExit, match=f"update 1: {name} is missing"):
            Extremes().add({key: value for key, value in whole.items() if key != name})
    with pytest.raises(SystemExit, match="update 3 is missing: the next is 4"):
        seen.add({**whole, "num_updates": "4"})


@pytest.mark.slow(seconds=30)
def test_a_planted_nan_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stress_numerics.prepare(tmp_path)
    member = stress_numerics.member(tmp_path, 1, 5)
    assert stress_numerics.stress(tmp_path, [member, member], 20) == 0
    assert "all 20 updates and every weight finite" in capsys.readouterr().out
    state = torch.load(member, weights_only=False)
    state["model"]["encoder.layers.0.fc1.weight"][3, 5] = float("nan")
    spoilt = tmp_path / "spoilt.pt"
    torch.save(state, spoilt)
    assert not_finite(spoilt) == ["encoder.layers.0.fc1.weight"]
    with pytest.raises(
        SystemExit, match=r"status 2: error: .* NaN in the weight encoder\.layers\.0\.fc1\.weight"
    ):
        stress_numerics.stress(tmp_path, [member, spoilt], 25)
