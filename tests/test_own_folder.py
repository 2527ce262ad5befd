"""Scripts that remove what they find in their folder keep their hands off the user's."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from ednd_nmt.errors import UserError
from scripts.own_folder import claim

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


def test_new_empty_and_own_folders_are_claimed(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    claim(folder, "one")
    (folder / "data").mkdir()
    claim(folder, "one")
    with pytest.raises(UserError, match="not of other, which would remove some"):
        claim(folder, "other")
    (tmp_path / "empty").mkdir()
    claim(tmp_path / "empty", "one")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is not a folder"):
        claim(tmp_path / "file", "one")


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("check_crash_safety", ["--source", "a", "--target", "b", "--stages", "report"]),
        ("stress_numerics", ["--updates", "1"]),
    ],
)
def test_folders_of_others_are_refused(
    script: str,
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    precious = [tmp_path / name / "precious" for name in ("report", "student", "data")]
    for path in precious:
        path.mkdir(parents=True)
    monkeypatch.setattr("sys.argv", [script, *arguments, "--folder", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPTS / f"{script}.py"), run_name="__main__")
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path} holds files that are not of {script}, which would remove some of them; name a new folder.\n"
    )
    assert all(path.exists() for path in precious)
