"""A checkpoint whose dictionaries can be known is held to those of the data; another's dictionaries prove nothing."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest
from random_models import RandomModels

from ednd_nmt.checkpoint_fit import check_fit
from ednd_nmt.errors import UserError


def trained_on(data: str | Path | None, **model: str) -> dict[str, object]:
    """What a checkpoint says of its training."""
    return {"cfg": Namespace(task=Namespace(data=data and str(data)), model=Namespace(**model))}


@pytest.fixture
def elsewhere(random_models: RandomModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with data whose first two symbols changed places, and one symbol more on the other side."""
    lines = (Path(random_models.task.cfg.data) / "dict.src.txt").read_text().splitlines(keepends=True)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dict.src.txt").write_text("".join([lines[1], lines[0], *lines[2:]]))
    (tmp_path / "data" / "dict.tgt.txt").write_text("".join(["more 1\n", *lines]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_another_order_is_refused(random_models: RandomModels, elsewhere: Path) -> None:
    message = (
        r"The src dictionary of the checkpoint .*m\.pt \(.*data/dict\.src\.txt\) orders its symbols unlike"
    )
    for path in ("m.pt", str(elsewhere / "members" / "m.pt"), "/of/another/m.pt"):
        with pytest.raises(UserError, match=message):
            check_fit(path, trained_on(elsewhere / "data"), random_models.task)
    for path in ("members/m.pt", str(elsewhere / "m.pt")):
        with pytest.raises(UserError, match=message):
            check_fit(path, trained_on("data"), random_models.task)
    with pytest.raises(UserError, match=message):  # beside it, as in a model folder
        check_fit(str(elsewhere / "data" / "m.pt"), trained_on(None), random_models.task)


def test_what_is_not_the_checkpoints_proves_nothing(random_models: RandomModels, elsewhere: Path) -> None:
    task = random_models.task
    check_fit("/of/another/m.pt", trained_on("data"), task)  # whose data were in another working directory
    own = Path(task.cfg.data)
    check_fit("m.pt", trained_on(own), task)
    check_fit(str(own / "m.pt"), trained_on("data"), task)  # what stands beside it comes first
    (elsewhere / "data" / "dict.src.txt").unlink()
    check_fit("m.pt", trained_on("data"), task)  # the target side has one symbol more: of other data by now
    check_fit("m.pt", trained_on(None), task)


def test_languages_may_stand_in_the_settings_of_the_model(random_models: RandomModels) -> None:
    check_fit("m.pt", trained_on(None, source_lang="src", target_lang="tgt"), random_models.task)
    with pytest.raises(UserError, match=r"checkpoint m\.pt translates tgt-src, but src-tgt is asked for"):
        check_fit("m.pt", trained_on(None, source_lang="tgt", target_lang="src"), random_models.task)
