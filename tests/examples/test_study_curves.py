"""The curves of a study's students, from fairseq's own log lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ednd_nmt.errors import UserError
from examples.study.curves import main, read_curves, table


def write_log(folder: Path, name: str, points: list[tuple[int, float]]) -> None:
    lines = ['2026-01-01 00:00:00 | INFO | train | {"epoch": 1, "train_nll_loss": "9.9"}']
    for update, bits in points:
        numbers = {
            "epoch": 1,
            "valid_loss": "1.0",
            "valid_nll_loss": f"{bits}",
            "valid_num_updates": f"{update}",
        }
        lines.append(f"2026-01-01 00:00:00 | INFO | valid | {json.dumps(numbers)}")
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_seeds_are_averaged_and_what_was_made_twice_counts_once(tmp_path: Path) -> None:
    write_log(tmp_path, "student-reverse_released-1.log", [(350, 5.0), (700, 4.5), (700, 4.0)])
    write_log(tmp_path, "student-reverse_released-2.log", [(350, 6.0), (700, 5.0)])
    write_log(tmp_path, "student-endd-1.log", [(350, 8.0)])
    write_log(tmp_path, "translate-endd-1-test.log", [(350, 1.0)])
    curves = read_curves(tmp_path)
    assert curves == {"endd": {350: [8.0]}, "reverse_released": {350: [5.0, 6.0], 700: [4.0, 5.0]}}
    assert table(curves).splitlines()[2:] == ["| endd | 8.000 | - |", "| reverse_released | 5.500 | 4.500 |"]


def test_the_files(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    write_log(tmp_path, "student-reverse-1.log", [(350, 5.0), (700, 4.5)])
    assert main([str(tmp_path), "--output", str(tmp_path / "made")]) == 0
    made = tmp_path / "made"
    assert json.loads((made / "curves.json").read_text())["bits_per_token"] == {
        "reverse": {"350": [5.0], "700": [4.5]}
    }
    assert "reverse" in (made / "curves.svg").read_text(encoding="utf-8")
    assert (made / "curves.png").stat().st_size > 1000
    assert (made / "curves.md").read_text(encoding="utf-8") == table(read_curves(tmp_path))


def test_no_logs_or_no_validation(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no log of a student"):
        read_curves(tmp_path)
    write_log(tmp_path, "student-reverse-1.log", [])
    with pytest.raises(UserError, match="no validation yet"):
        read_curves(tmp_path)
    assert main([str(tmp_path), "--output", str(tmp_path)]) == 2
