"""The one exception that a user is meant to read."""

from __future__ import annotations

import difflib
import math
import os
import sys
from collections.abc import Callable, Iterable
from types import TracebackType

EXIT_STATUS = 2
"""Of a command that a :class:`UserError` ends."""
MACHINE_FAILURE_STATUS = 1
"""Of a command that a failure of the machine ends."""
INTERRUPTED_STATUS = 130
"""Of a command that Ctrl-C ends."""


class UserError(ValueError):
    """Something the user can mend: the message is one sentence saying what is wrong and how to mend it.

    Commands print it as ``error: <message>`` and exit with code 2; no traceback is shown.
    """


def nearest(name: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` for the known name that is most like ``name``; nothing if none is."""
    found = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {found[0]!r}?)" if found else ""


def sentence_of_another_process(error: BaseException) -> str | None:
    """The sentence of a :class:`UserError` that ended a process which fairseq started: one for each GPU, or to read batches.

    PyTorch raises an error whose text is that process's traceback: of a kind of its own, or of a process that reads batches
    the same kind once more. None if ``error`` is anything else.
    """
    # By its name and not imported: whoever spawned has it.
    if not isinstance(error, UserError) and type(error).__name__ != "ProcessRaisedException":
        return None
    name = f"{UserError.__module__}.{UserError.__qualname__}: "
    sentences = [line.removeprefix(name) for line in str(error).splitlines() if line.startswith(name)]
    return sentences[-1] if sentences else None


def require_not_negative(**numbers: float) -> None:
    """Refuse a number below 0, an infinite one or NaN; the keywords are the names in the sentence.

    Raises:
        UserError: there is one.
    """
    for name, number in numbers.items():
        if not 0 <= number < math.inf:
            raise UserError(f"{name} is {number:g}; give a finite number that is at least 0.")


def require_positive(**numbers: float) -> None:
    """Refuse a number that is not above 0, an infinite one or NaN; the keywords are the names in the sentence.

    Raises:
        UserError: there is one.
    """
    for name, number in numbers.items():
        if not 0 < number < math.inf:
            raise UserError(f"{name} is {number:g}; give a finite number above 0.")


def exit_status(run: Callable[[], int | None]) -> int:
    """Run a command; its exit status (None is 0). What went wrong, by the user or the machine, is one sentence on stderr."""
    try:
        return run() or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_STATUS
    except BrokenPipeError:
        _drop_output()  # the reader went away
        return MACHINE_FAILURE_STATUS
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        place = error.filename if error.filename is not None else "a path"
        print(f"error: {place}: {error.strerror or error}; check this path.", file=sys.stderr)
        return EXIT_STATUS
    except OSError as error:
        print(f"error: {error.filename or 'the machine'}: {error.strerror or error}", file=sys.stderr)
        _drop_output()
        return MACHINE_FAILURE_STATUS
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED_STATUS


def _drop_output() -> None:
    """If standard output takes nothing more, let what is left go nowhere: the interpreter's last flush would complain."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_user_errors_as_sentences() -> None:
    """Have the interpreter end on an uncaught :class:`UserError` with its sentence and no traceback.

    fairseq's own commands catch nothing; this is how their users read a sentence too, and get the same exit status. Any
    other error is shown as before. May be called any number of times.
    """
    original = sys.excepthook
    if getattr(original, "prints_user_errors", False):
        return

    def excepthook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        sentence = sentence_of_another_process(error)
        if sentence is None and isinstance(error, UserError):
            sentence = str(error)
        if sentence is not None:
            print(f"error: {sentence}", file=sys.stderr)
            raise SystemExit(EXIT_STATUS)  # the interpreter takes it for the status; 1 would follow otherwise
        else:
            original(kind, error, traceback)

    excepthook.prints_user_errors = True  # type: ignore[attr-defined]
    sys.excepthook = excepthook
