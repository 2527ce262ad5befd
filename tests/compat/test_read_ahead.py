"""The threads that read batches ahead are gone before the interpreter is."""

import sys
from pathlib import Path

import pytest
from own_process import python

SCRIPT = """
import atexit, sys, threading, time


def look():  # registered before the repair, so that it comes after it
    from fairseq.data.iterators import BackgroundConsumer

    alive = [thread for thread in threading.enumerate() if isinstance(thread, BackgroundConsumer)]
    print("alive:", len(alive), "read:", len(read))


atexit.register(look)
if "repaired" in sys.argv:
    import ednd_nmt
read = []


class Batches:
    def __len__(self):
        return 1000000

    def __iter__(self):
        for number in range(1000000):
            time.sleep(0.001)
            read.append(number)
            yield number


from fairseq.data.iterators import BufferedIterator

batches = BufferedIterator(5, Batches())
print(next(batches), next(batches))
"""


@pytest.mark.parametrize(("repaired", "alive"), [(True, 0), (False, 1)])
def test_no_thread_outlives_the_command(repaired: bool, alive: int, tmp_path: Path) -> None:
    if sys.version_info >= (3, 14) and repaired:
        pytest.skip("the interpreter itself does without unwinding them")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    result = python(script, *["repaired"] * repaired)
    assert result.stdout.startswith(f"0 1\nalive: {alive} "), result.stderr
    if repaired:
        assert result.returncode == 0
        assert int(result.stdout.split()[-1]) < 1000
