"""fairseq's own commands with everything of this package registered: no ``--user-dir`` is needed."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import io
import itertools
import sys
from argparse import Namespace
from collections.abc import Sequence
from types import TracebackType

from ednd_nmt.errors import UserError, nearest, sentence_of_another_process

COMMANDS = {
    "train": "fairseq_cli.train",
    "generate": "fairseq_cli.generate",
    "interactive": "fairseq_cli.interactive",
    "preprocess": "fairseq_cli.preprocess",
    "validate": "fairseq_cli.validate",
    "eval-lm": "fairseq_cli.eval_lm",
    "hydra-train": "fairseq_cli.hydra_train",
}
"""Name of the command (``fairseq-`` left off) -> the module of fairseq that is it.

``fairseq-score`` is not among them: ``ednd-nmt score`` is this package's own, and ``ednd-nmt evaluate`` computes BLEU.
"""


def require_fairseq() -> None:
    """Raise one clear sentence where fairseq is missing (without importing it where it is there).

    Raises:
        UserError: fairseq is not installed in this environment.
    """
    if importlib.util.find_spec("fairseq_cli") is None or importlib.util.find_spec("fairseq") is None:
        raise UserError(
            "fairseq is not installed in this environment; install this package with its dependencies "
            "(scripts/install.sh), or add a fairseq of your own."
        )


def import_user_dir(path: str) -> None:
    """Import a package of the user's own, which registers what it has, as ``--user-dir`` of fairseq's commands does.

    Raises:
        UserError: there is no such folder, or it cannot be imported.
    """
    require_fairseq()
    from fairseq.utils import import_user_module

    try:
        import_user_module(Namespace(user_dir=path))
    except (FileNotFoundError, ImportError) as error:
        raise UserError(
            f"{path} cannot be imported ({' '.join(str(error).split())}); name a folder with an __init__.py by --user-dir."
        ) from error


def run(command: str, arguments: Sequence[str]) -> int:
    """Run ``fairseq-<command>`` with these arguments in this process; the exit status.

    Its standard input and output are in UTF-8, whatever the locale.

    Arguments that fairseq refuses end in SystemExit, as in its own command.

    Raises:
        UserError: fairseq is not installed, has no such command, misses the task that it has no default for, or refuses in
            words of its own what it was given.
    """
    if command not in COMMANDS:
        raise UserError(f"fairseq has no command {command!r}; there are {', '.join(COMMANDS)}.")
    require_fairseq()
    if command == "validate" and not any(
        word in {"-h", "--help"} or word.startswith("--task") for word in arguments
    ):
        raise UserError("fairseq-validate has no task of its own; add --task, distillation for a student.")
    if command == "train" and not _names_an_architecture(arguments):
        raise UserError("fairseq-train has no architecture of its own; add --arch, as in --arch transformer.")
    # Before any other module of fairseq: these modules set logging up while they are imported, and whoever is
    # first, wins.
    module = importlib.import_module(COMMANDS[command])
    check_names(arguments)
    # Pieces begin with U+2581, which a locale in Latin-1 does not have.
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8")
    outer, sys.argv = sys.argv, [f"ednd-nmt {command}", *arguments]
    try:
        module.cli_main()
    except SystemExit as stop:
        if stop.code == 0 and not {"-h", "--help"}.isdisjoint(arguments):
            sys.stdout.write(help_of_chosen(arguments))
        raise
    except Exception as error:
        if is_refusal(error):
            raise UserError(" ".join(str(error).split())) from error
        if sentence := sentence_of_another_process(error):
            raise UserError(sentence) from None
        raise
    finally:
        sys.argv = outer
    return 0


def _names_an_architecture(arguments: Sequence[str]) -> bool:
    """Or asks for help, or for a package of the user's, which may end all this itself."""
    return any(
        word in {"-h", "--help"} or word.startswith(("--arch", "-a", "--user-dir")) for word in arguments
    )


def help_of_chosen(arguments: Sequence[str]) -> str:
    """Help for the options of the ``--task``, ``--criterion`` and ``--arch`` that are named among the arguments.

    fairseq's parser prints its help before it learns of them.
    """
    from fairseq.models import ARCH_MODEL_REGISTRY
    from fairseq.registry import REGISTRIES
    from fairseq.tasks import TASK_REGISTRY

    registries = {
        "--task": TASK_REGISTRY,
        "--criterion": REGISTRIES["criterion"]["registry"],
        "--arch": ARCH_MODEL_REGISTRY,
        "-a": ARCH_MODEL_REGISTRY,
    }
    parser = argparse.ArgumentParser(usage=argparse.SUPPRESS, add_help=False, conflict_handler="resolve")
    for option, name in itertools.pairwise(_words(arguments)):
        if name in registries.get(option, {}):
            registries[option][name].add_args(parser.add_argument_group(f"options of {option} {name}"))
    return parser.format_help()


def _words(arguments: Sequence[str]) -> list[str]:
    """The arguments, where ``--option=value`` is two words."""
    return [part for word in arguments for part in (word.split("=", 1) if word.startswith("--") else [word])]


def check_names(arguments: Sequence[str]) -> None:
    """Refuse names that fairseq does not know, with the nearest one: its own parser lists all of some hundred.

    Not where ``--user-dir`` may add names of its own.

    Raises:
        UserError: an unknown ``--arch``, ``--task``, ``--criterion``, ``--optimizer`` and the like.
    """
    from fairseq.models import ARCH_MODEL_REGISTRY
    from fairseq.registry import REGISTRIES
    from fairseq.tasks import TASK_REGISTRY

    words = _words(arguments)
    if "--user-dir" in words:
        return
    known = {name: entry["registry"] for name, entry in REGISTRIES.items()}
    known |= {"arch": ARCH_MODEL_REGISTRY, "task": TASK_REGISTRY}
    options = {f"--{name.replace('_', '-')}": names for name, names in known.items()} | {"-a": known["arch"]}
    for option, value in itertools.pairwise(words):
        if option in options and value not in options[option]:
            raise UserError(
                f"fairseq knows no {value!r} for {option}{nearest(value, options[option])}; choose another name."
            )


def is_refusal(error: Exception) -> bool:
    """Whether fairseq raised an error to say what is wrong with its input, rather than ran into it.

    Its sentences come as a bare ``Exception``, as an ``OSError`` without a number, and as assertions of its commands.
    """
    if not str(error):
        return False
    if isinstance(error, OSError):
        return error.errno is None and not isinstance(error, BrokenPipeError)
    return type(error) is Exception or (
        isinstance(error, AssertionError) and _raised_in(error.__traceback__).startswith("fairseq_cli.")
    )


def _raised_in(traceback: TracebackType | None) -> str:
    """The module in which an error was raised."""
    module = ""
    while traceback is not None:
        module = traceback.tb_frame.f_globals.get("__name__", "")
        traceback = traceback.tb_next
    return module
