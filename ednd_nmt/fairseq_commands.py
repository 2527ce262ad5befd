"""fairseq's own commands with everything of this package registered: no ``--user-dir`` is needed."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence

from ednd_nmt.errors import UserError

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


def run(command: str, arguments: Sequence[str]) -> int:
    """Run ``fairseq-<command>`` with these arguments in this process; the exit status.

    Arguments that fairseq refuses end in SystemExit, as in its own command.

    Raises:
        UserError: fairseq is not installed, or has no such command.
    """
    if command not in COMMANDS:
        raise UserError(f"fairseq has no command {command!r}; there are {', '.join(COMMANDS)}.")
    require_fairseq()
    # Before any other module of fairseq: these modules set logging up while they are imported, and whoever is
    # first, wins.
    module = importlib.import_module(COMMANDS[command])
    outer, sys.argv = sys.argv, [f"ednd-nmt {command}", *arguments]
    try:
        module.cli_main()
    finally:
        sys.argv = outer
    return 0
