"""A folder in which a script removes what it finds: only what it has made itself."""

from __future__ import annotations

from pathlib import Path

from ednd_nmt.errors import UserError


def claim(folder: Path, script: str) -> None:
    """Make the folder and mark it as one of ``script``.

    Raises:
        UserError: it is not empty and has no such mark, or it is no folder.
    """
    mark = folder / f".{script}"
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is not a folder; name a new one.")
    if folder.is_dir() and any(folder.iterdir()) and not mark.exists():
        raise UserError(
            f"{folder} holds files that are not of {script}, which would remove some of them; name a new folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    mark.touch()
