"""A shard of fairseq-generate that has no batch, since there are more shards than batches."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any

from ednd_nmt.compat.repair import Repair

_GENERATE = ("fairseq_cli.generate", "_main")
_installed: list[Callable[..., Any]] = []  # at most once: others may put a hook of theirs over it


def is_empty_shard(error: BaseException) -> bool:
    """Whether fairseq-generate has divided by the time that it took to translate nothing: the last thing that it does."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if not isinstance(error, ZeroDivisionError) or traceback is None:
        return False
    frame = traceback.tb_frame
    place = (frame.f_globals.get("__name__"), frame.f_code.co_name)
    return place == _GENERATE and frame.f_locals.get("num_sentences") == 0


def _install() -> None:
    original: Callable[..., Any] = sys.excepthook

    @functools.wraps(original)
    def excepthook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if is_empty_shard(error):
            print("nothing to translate: the set, or this shard of it, has no sentences", file=sys.stderr)
            raise SystemExit(0)  # the interpreter takes it for the status; 1 would follow otherwise
        original(kind, error, traceback)

    sys.excepthook = excepthook
    _installed.append(excepthook)


REPAIRS = (
    Repair(
        name="empty shards",
        why="With more shards than batches, fairseq-generate ends the shards that have none in a traceback: it divides "
        "by the time that no translation took. They have no sentences, so that an empty output is right.",
        needed=lambda: not _installed,
        apply=_install,
    ),
)
