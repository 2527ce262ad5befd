"""All repairs together: each at most once, in silence, nothing left behind outside fairseq."""

import dataclasses

import fairseq
import pytest

from ednd_nmt import compat


def test_importing_fairseq_repaired_it() -> None:
    assert fairseq.__version__
    assert [repair.name for repair in compat.AFTER_IMPORT if repair.needed()] == []


def test_a_second_time_does_nothing() -> None:
    assert compat.repair_after_import() == []


@pytest.mark.parametrize(
    "repair", [*compat.BEFORE_IMPORT, *compat.AFTER_IMPORT], ids=lambda repair: repair.name
)
def test_every_repair_says_why(repair: compat.Repair) -> None:
    assert repair.why.endswith(".")


def test_python_s_own_dataclass_is_back_after_an_import_and_after_a_failed_one() -> None:
    own = dataclasses.dataclass
    with pytest.raises(ImportError), compat.repaired_import():
        raise ImportError("a broken fairseq")
    assert dataclasses.dataclass is own
