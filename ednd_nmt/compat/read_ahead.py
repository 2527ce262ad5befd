"""A training that ends in the middle of an epoch may abort at its very end."""

from __future__ import annotations

import atexit
import queue
import sys
import threading

from ednd_nmt.compat.repair import Repair

_registered = False


def _threads_abort_at_exit() -> bool:
    return sys.version_info < (3, 14) and not _registered


def _end_threads_at_exit() -> None:
    global _registered
    atexit.register(end_threads)
    _registered = True


def end_threads() -> None:
    """Have all threads that read batches ahead stop after the batch that they are at, and wait for them."""
    from fairseq.data.iterators import BackgroundConsumer

    for thread in threading.enumerate():
        if isinstance(thread, BackgroundConsumer):
            thread._max_len = 0  # it looks at its number of batches after each
            while thread.is_alive():
                try:
                    thread._queue.get(timeout=0.05)  # there must be room for what it has
                except queue.Empty:
                    continue


REPAIRS = (
    Repair(
        name="threads that read ahead",
        why="fairseq's thread that reads batches ahead goes on while the interpreter ends. Before Python 3.14 that may "
        "unwind torch's C++ frames ('terminate called without an active exception'): a training that has succeeded aborts "
        "with status 134, now and then.",
        needed=_threads_abort_at_exit,
        apply=_end_threads_at_exit,
    ),
)
