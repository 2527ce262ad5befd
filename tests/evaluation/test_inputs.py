"""From the command line to files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ednd_nmt.errors import UserError
from ednd_nmt.evaluation.inputs import find_inputs


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for name in ("a/test", "a/german", "b/test", "b/noise", "c/other"):
        path = tmp_path / f"{name}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


def test_a_folder_is_a_system_and_its_files_are_sets(folders: Path) -> None:
    inputs = find_inputs([f"first={folders / 'a'}", str(folders / "b")])
    assert {system: sorted(sets) for system, sets in inputs.files.items()} == {
        "first": ["german", "test"],
        "b": ["noise", "test"],
    }
    assert inputs.shifted == ["german", "noise"]


def test_chosen_sets_keep_their_order(folders: Path) -> None:
    inputs = find_inputs([str(folders / "a"), str(folders / "b")], shifted=["noise", "german"])
    assert inputs.shifted == ["noise", "german"]
    assert find_inputs([str(folders / "a")], shifted=[]).shifted == []
    assert find_inputs([str(folders / "c")], in_domain="other").in_domain == "other"


def test_single_files(folders: Path) -> None:
    test, german = folders / "a/test.jsonl", folders / "a/german.jsonl"
    inputs = find_inputs([f"x={test}"], files=[f"x:shift={german}", f"y:test={test}"])
    assert inputs.files == {"x": {"test": test, "shift": german}, "y": {"test": test}}


def test_a_path_may_have_an_equals_sign(folders: Path) -> None:
    (folders / "lr=0.1").symlink_to(folders / "a")
    assert list(find_inputs([str(folders / "lr=0.1")]).files) == ["a"]
    assert list(find_inputs([f"x={folders / 'lr=0.1'}"]).files) == ["x"]


@pytest.mark.parametrize(
    ("systems", "options", "message"),
    [
        ([], {}, "No system is given"),
        (["x={}/nothing"], {}, "There is no .*nothing"),
        (["x={}/a", "x={}/b"], {}, "Two systems are called 'x'"),
        (["x={}/c"], {}, r"'x' has no set 'test' \(it has: other\)"),
        (["x={}/a"], {"shifted": ["noise"]}, "No system has the shifted set 'noise'; found: german"),
        (["x={}/a"], {"files": ["x:news/2019=."]}, "name 'news/2019' of a set has a slash"),
        (["x={}/a/test.jsonl"], {"in_domain": "a/test"}, "name 'a/test' of a set has a slash"),
        (["x={}/a"], {"files": ["x=oops"]}, "write it as SYSTEM:SET=PATH"),
        (["x={}/a"], {"files": ["x:test=."]}, "The set 'test' of x is given twice"),
    ],
)
def test_faulty_input_is_one_clear_sentence(
    folders: Path, systems: list[str], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        find_inputs([item.format(folders) for item in systems], **options)
