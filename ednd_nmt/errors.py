"""The one exception that a user is meant to read."""

from __future__ import annotations


class UserError(ValueError):
    """Something the user can mend: the message is one sentence saying what is wrong and how to mend it.

    Commands print it as ``error: <message>`` and exit with code 2; no traceback is shown.
    """
