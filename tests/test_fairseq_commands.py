"""fairseq's own commands through this package: same log, same exit status, everything registered."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from own_process import PATIENCE, ednd_nmt

from ednd_nmt.errors import UserError
from ednd_nmt.fairseq_commands import COMMANDS, check_names, help_of_chosen, is_refusal, run


def test_unknown_command() -> None:
    with pytest.raises(UserError, match="no command 'translat'"):
        run("translat", [])


def test_arguments_of_the_process_are_put_back() -> None:
    before = list(sys.argv)
    with pytest.raises(SystemExit) as ended:
        run("preprocess", ["--no-such-option"])
    assert ended.value.code == 2
    assert sys.argv == before


def test_help_has_the_options_of_what_is_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = [
        "--task=distillation",
        "--criterion",
        "rkl_dirichlet_proxy_distillation",
        "--arch",
        "dirichlet_transformer",
    ]
    with pytest.raises(SystemExit) as ended:
        run("train", ["--help", *chosen])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for option in ("--max-update", "--stored-targets", "--target-concentration", "--encoder-embed-dim"):
        assert f"\n  {option} " in text
    assert text.count("usage:") == 1
    assert help_of_chosen(["--lr", "1"]).strip() == ""


def test_training_asks_for_an_architecture() -> None:
    with pytest.raises(UserError, match="add --arch"):
        run("train", ["data", "--task", "translation"])


def test_validating_asks_for_a_task(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="add --task, distillation"):
        run("validate", ["data", "--path", "model.pt"])
    with pytest.raises(SystemExit) as ended:
        run("validate", ["--help"])
    assert ended.value.code == 0
    assert "--valid-subset" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--arch", "dirichlet_transformer_tinny"],
            "'dirichlet_transformer_tinny' for --arch .*'dirichlet_transformer_tiny'",
        ),
        (["-a", "transformr"], "'transformr' for -a .did you mean 'transformer'"),
        (["--task=distilation"], "'distilation' for --task .did you mean 'distillation'"),
        (
            ["data", "--criterion", "rkl_dirichlet_proxy"],
            "for --criterion .*'rkl_dirichlet_proxy_distillation'",
        ),
        (["--lr-scheduler", "inverse"], "no 'inverse' for --lr-scheduler"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(arguments: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        check_names(arguments)


def test_known_names_and_those_of_a_user_directory_pass() -> None:
    check_names(["--arch", "dirichlet_transformer", "--task=translation", "--optimizer", "adam", "--lr", "1"])
    check_names(["--user-dir", "mine", "--arch", "my_transformer"])


def test_fairseqs_own_sentences_are_told_from_its_faults() -> None:
    for refusal in (Exception("Could not infer language pair"), FileNotFoundError("Dataset not found: test")):
        assert is_refusal(refusal)
    for fault in (
        OSError(28, "No space left on device"),
        ValueError("bad"),
        Exception(),
        AssertionError("ours"),
    ):
        assert not is_refusal(fault)


@pytest.mark.parametrize("module", COMMANDS.values())
def test_every_command_is_a_module_of_fairseq(module: str) -> None:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    assert "def cli_main(" in Path(spec.origin).read_text()


def test_what_is_read_and_printed_is_utf_8_in_any_locale(tmp_path: Path) -> None:
    """Whatever runs within the command, as a package of the user's own does."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text('print("H-0", ascii(input()), "\\u2581")\n')
    result = subprocess.run(
        [sys.executable, "-m", "ednd_nmt", "generate", "--user-dir", "mine", "--help"],
        input="é\n".encode(), capture_output=True, cwd=tmp_path, timeout=PATIENCE,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr.decode()
    assert "H-0 '\\xe9' ▁" in result.stdout.decode("utf-8")


@pytest.mark.slow
def test_hydra_sees_groups_of_this_package() -> None:
    result = ednd_nmt("hydra-train", "task=distillation", "--cfg", "job", "--package", "task")
    assert result.returncode == 0, result.stderr
    assert "_name: distillation" in result.stdout


@pytest.mark.slow
def test_training_knows_the_task_and_logs_as_fairseq_does(tmp_path: Path) -> None:
    model = ("--task", "distillation", "--arch", "dirichlet_transformer_tiny")
    result = ednd_nmt("train", tmp_path, *model, "--max-tokens", "9")
    assert result.returncode != 0
    log = result.stdout + result.stderr
    assert "invalid choice" not in log
    assert " | INFO | fairseq_cli.train | " in log
