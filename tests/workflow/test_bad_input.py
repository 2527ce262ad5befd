"""The stages of the workflow that users call themselves say in one sentence what is wrong with their files."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from scripts.workflow import binarise, limits, pieces, transfer


def prepare(folder: Path) -> None:
    (folder / "good.en").write_text("A line.\nAnother line.\n", encoding="utf-8")
    (folder / "latin.de").write_text("Eine Zeile.\n", encoding="utf-8")
    (folder / "latin.en").write_bytes("Grüße\n".encode("latin-1"))
    (folder / "binary.en").write_bytes(b"\x00\x01\n")


@pytest.mark.parametrize(
    ("module", "arguments", "said"),
    [
        (
            pieces,
            "learn --size 300 --output out none.en",
            "none.en: No such file or directory; check this path.",
        ),
        (pieces, "learn --size 300 --output out latin.en", "Line 1 of latin.en is not UTF-8 text"),
        (pieces, "learn --size 300 --output out binary.en", "Line 1 of binary.en holds a zero byte"),
        (pieces, "dictionary --model none --output out", "none is not a SentencePiece model"),
        (pieces, "dictionary --model good.en --output out", "good.en is not a SentencePiece model"),
        (pieces, "encode --model good.en --language en --output out good.en", "is not a SentencePiece model"),
        (pieces, "encode --model . --language en --output out good.en", "is not a SentencePiece model"),
        (
            limits,
            "--source good.en --target none --max-length 9 --max-ratio 2 --output-source out --output-target out2",
            "none: No such file",
        ),
        (
            transfer,
            "--source none --source-lang en --target-lang de --output out shard",
            "none: No such file",
        ),
        (
            transfer,
            "--source good.en --source-lang en --target-lang de --output out none",
            "none: No such file",
        ),
        (transfer, "--source good.en --source-lang en --target-lang de --output out .", ".: Is a directory"),
        (
            binarise,
            "--dictionary none --train none --source-lang en --target-lang de --output out",
            "There is no file none; check this path.",
        ),
        (
            binarise,
            "--dictionary good.en --train good --valid latin --source-lang en --target-lang de --output out",
            "There is no file good.de; check this path.",
        ),
    ],
)
def test_bad_files_are_one_sentence(
    module: ModuleType,
    arguments: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    prepare(tmp_path)
    before = sorted(tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [module.__name__, *arguments.split()])
    assert module.main() == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert said in message
    assert message.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before
