"""The script that kills commands tells those that survive from those that do not."""

from __future__ import annotations

import random
import re
import sys
from pathlib import Path

import pytest

from scripts.check_crash_safety import Stage, survives

WHOLE = """
import os, sys, time
open(sys.argv[1] + '.partial', 'w').write('x' * 10); time.sleep(0.3)
os.replace(sys.argv[1] + '.partial', sys.argv[1])
"""
# What a kill is to hit takes much longer than the start of an interpreter, on a loaded machine too.
IN_PLACE = """
import sys, time
with open(sys.argv[1], 'w') as file:
    for _ in range(10):
        file.write('x'); file.flush(); time.sleep(0.3)
"""
OTHER_EVERY_TIME = "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid()))"
NOT_TWICE = "import os, sys, time; os.mkdir(sys.argv[1] + '.partial'); time.sleep(3)"


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        (WHOLE, r"the same 1 files \(10 bytes\) after 3 kills"),
        (IN_PLACE, "out differ after kill"),
        # Where every kill comes before its first byte, only the last run tells.
        (OTHER_EVERY_TIME, "out differ after kill|other files than without kills"),
        (NOT_TWICE, "other files than without kills|failed after kill"),
    ],
    ids=["whole", "in place", "other every time", "not twice"],
)
def test_verdicts(tmp_path: Path, capsys: pytest.CaptureFixture[str], code: str, verdict: str) -> None:
    def commands(out: Path) -> list[list[str]]:
        return [[sys.executable, "-S", "-c", code, str(out / "out")]]

    survived = survives(Stage("stage", commands), tmp_path, 3, random.Random(3))
    assert survived == (code == WHOLE)
    assert re.search(verdict, capsys.readouterr().out)
