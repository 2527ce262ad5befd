"""The command line: one sentence for the user's mistakes, and the right exit codes."""

import subprocess
import sys
from pathlib import Path

import pytest
from own_process import PATIENCE, python

import ednd_nmt
from ednd_nmt.cli import main


def test_user_dir_is_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["user-dir"]) == 0
    assert Path(capsys.readouterr().out.strip()) == Path(ednd_nmt.__file__).parent


def test_a_users_mistake_is_one_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["evaluate", f"student={tmp_path / 'missing'}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "command",
    [
        "rerank FILE --penalty 1 --output FILE",
        "rerank test.jsonl --calibrator FILE --output FILE",
        "calibrate FILE --output FILE",
        "calibrate test.jsonl --test FILE --output FILE",
        "fit test.jsonl --test FILE --output decision.json --json FILE",
        "evaluate student=FOLDER --json FILE",
        "evaluate FOLDER --json FILE",
        "evaluate student=FILE --json FILE",
        "evaluate student=FOLDER --calibration student=FILE --markdown FILE",
        "report student=FOLDER --output FILE",
        "report FOLDER --output FILE",
        "grow FILE --output FILE",
        "store data --source-lang en --target-lang de --ensemble-paths 1.pt:FILE --output FILE",
        "translate --model DIR --input FILE --output FILE",
        "score --model DIR --source test.en --target FILE --output FILE",
        "shift FOLDER/words.jsonl --sets words --output FOLDER",
    ],
)
def test_no_command_writes_over_what_it_reads(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "lr=1"  # as Hydra names them
    folder.mkdir()
    file = folder / "words.jsonl"
    file.write_text("what is there\n")
    words = command.replace("FILE", str(file)).replace("FOLDER", str(folder)).split()
    assert main(words) == 2
    assert capsys.readouterr().err == (
        f"error: {file} is read by the same command, which would write over it; choose another output.\n"
    )
    assert file.read_text() == "what is there\n"
    assert list(folder.iterdir()) == [file]


def test_two_outputs_of_one_name_are_refused(
    tmp_path: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "link").symlink_to("same")
    valid = str(runs / "student" / "test.jsonl")
    for other in ("same", "link", "./deep/../same"):
        names = ["--output", str(tmp_path / "same"), "--json", str(tmp_path / other)]
        assert main(["fit", valid, *names]) == 2
        assert "is named as an output twice" in capsys.readouterr().err
    (tmp_path / "text").write_text("")
    assert main(["fit", valid, "--output", str(tmp_path / "text" / "decision.json")]) == 2
    assert "is not a folder" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"link", "text"}


def test_no_traceback_from_fairseqs_own_interpreter() -> None:
    """A UserError that nobody catches, as in the stock commands, ends in its sentence."""
    code = "import ednd_nmt, fairseq; raise ednd_nmt.UserError('Mend it so.')"
    process = python("-c", code)
    assert process.returncode != 0
    assert process.stderr.strip().splitlines()[-1] == "error: Mend it so."
    assert "Traceback" not in process.stderr


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    helped = capsys.readouterr().out
    for name in (
        "user-dir",
        "grow",
        "evaluate",
        "report",
        "calibrate",
        "fit",
        "rerank",
        "shift",
        "ednd-nmt train",
    ):
        assert name in helped


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    command = f"{sys.executable} -m ednd_nmt user-dir"
    piped = subprocess.run(f"{command} | true", shell=True, capture_output=True, text=True, timeout=PATIENCE)
    assert piped.stderr == ""


def test_a_spawned_process_runs_the_main_file_again(tmp_path: Path) -> None:
    """fairseq spawns one process for each GPU of a node; it must register what ``python -m ednd_nmt`` had registered."""
    package = tmp_path / "told"
    package.mkdir()
    (package / "__init__.py").write_text(
        "import sys\nfrom multiprocessing.spawn import get_preparation_data\n"
        "print(*(name for name in get_preparation_data('x') if name.startswith('init_main')))\nsys.exit(7)\n",
        encoding="utf-8",
    )
    done = python("-m", "ednd_nmt", "train", tmp_path, "--user-dir", package)
    assert done.returncode == 7, done.stderr
    assert done.stdout.split()[-1:] == ["init_main_from_path"]
