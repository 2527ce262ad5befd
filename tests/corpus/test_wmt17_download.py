"""The archives of WMT17 come whole through the faults that networks have."""

from __future__ import annotations

from pathlib import Path

import pytest
from own_process import python
from wmt17_imitation import Imitation

from scripts.wmt17 import download

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)


@pytest.mark.parametrize("faults", [["cut"], ["cut", "cut", "cut", "cut"], ["500", "cut", "500"]])
def test_a_cut_connection_is_resumed_where_it_broke(imitation: Imitation, faults: list[str]) -> None:
    path = imitation.path("commoncrawl")
    imitation.server.faults[path] = list(faults)
    status, said = imitation.build()
    assert status == 0, said
    ranges = [asked for requested, asked in imitation.server.requests if requested == path]
    assert len(ranges) == len(faults) + 1
    assert ranges[-1] is not None
    size = len(imitation.server.files[path])
    kept = size
    for _ in range(faults.count("cut")):
        kept -= kept - kept // 2
    assert ranges[-1] == f"bytes={size - kept}-"


def test_a_place_that_breaks_off_again_and_again_is_told_and_what_came_is_kept(imitation: Imitation) -> None:
    path = imitation.path("commoncrawl")
    imitation.server.faults[path] = ["cut", "500", "500", "500"]
    said = imitation.fails()
    half = len(imitation.server.files[path]) // 2
    assert f"commoncrawl.tgz broke off after {half} bytes (status 500); what came is kept" in said
    imitation.server.requests.clear()
    assert imitation.build()[0] == 0
    asked = dict(imitation.server.requests)
    assert asked[path] == f"bytes={half}-"
    assert imitation.path("europarl") not in asked  # whole since the first run


def test_a_server_that_does_not_resume_sends_all_of_it(imitation: Imitation) -> None:
    path = imitation.path("europarl")
    imitation.server.faults[path] = ["cut", "no ranges"]
    status, said = imitation.build()
    assert status == 0, said


def test_a_file_that_was_whole_when_the_process_was_killed_is_used(imitation: Imitation) -> None:
    imitation.cache.mkdir()
    name = "europarl-training-parallel-europarl-v7.tgz"
    content = imitation.server.files[imitation.path("europarl")]
    (imitation.cache / f"{name}.partial").write_bytes(content)
    assert imitation.build()[0] == 0
    assert (imitation.cache / name).read_bytes() == content


@pytest.mark.parametrize("name", ["europarl", "newstest2014", "librispeech"])
def test_a_wrong_checksum_is_told_and_the_file_removed(imitation: Imitation, name: str) -> None:
    content = bytearray(imitation.server.files[imitation.path(name)])
    content[-9] ^= 1
    imitation.serve(name, bytes(content))
    said = imitation.fails()
    algorithm = "md5" if "md5" in imitation.entries[name] else "sha256"
    assert f"gave a file with the {algorithm} " in said
    assert f"and not {imitation.entries[name][algorithm]}, which was removed" in said
    assert not list(imitation.cache.glob(f"{name}-*"))


def test_a_file_of_another_size_is_not_even_fetched(imitation: Imitation) -> None:
    imitation.serve("commoncrawl", b"<html>Sign in to continue</html>")
    said = imitation.fails()
    assert "commoncrawl.tgz has 32 bytes where the right file has" in said
    assert not list(imitation.cache.glob("commoncrawl-*"))


def test_a_missing_file_is_told_with_what_to_do(imitation: Imitation) -> None:
    del imitation.server.files[imitation.path("khresmoi")]
    said = imitation.fails()
    assert "khresmoi-summary-test-set.tgz cannot be had (status 404, Not Found); name another place" in said
    assert imitation.build("--shifted", "german", "permuted")[0] == 0  # those that do not need it


def test_nobody_at_the_other_end_is_one_sentence_as_a_user_sees_it(imitation: Imitation) -> None:
    code = "import sys, time, runpy; time.sleep = lambda s: None; sys.argv = sys.argv[1:]; "
    code += "runpy.run_path(sys.argv[0], run_name='__main__')"
    script = ROOT / "scripts/build_wmt17.py"
    result = python("-c", code, script, *imitation.arguments(["http://127.0.0.1:9"]))
    assert result.returncode == 1
    assert "Connection refused" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
    assert not imitation.out.exists()


def test_the_next_mirror_helps_where_one_does_not_have_the_right_file(imitation: Imitation) -> None:
    path = imitation.path("europarl")
    imitation.server.files["/broken" + path] = b"\0" * len(imitation.server.files[path])
    status, said = imitation.build(mirrors=[f"{imitation.server.address}/broken/", imitation.server.address])
    assert status == 0, said
    del imitation.server.files[path]
    (imitation.cache / "europarl-training-parallel-europarl-v7.tgz").unlink()
    (imitation.out / "manifest.json").unlink()
    status, said = imitation.build(mirrors=[f"{imitation.server.address}/broken", imitation.server.address])
    assert status == 1
    assert "which was removed" in said
    assert "status 404" in said


def test_a_file_without_published_checksum_is_held_to_what_was_fetched_first(imitation: Imitation) -> None:
    assert "no published checksum is known" in imitation.build()[1]
    (cached,) = imitation.cache.glob("khresmoi-*")
    whole = cached.read_bytes()
    cached.write_bytes(whole[:-1])
    status, said = imitation.build()
    assert status == 0
    assert "the file in the cache is not the right one" in said
    assert cached.read_bytes() == whole
    cached.unlink()
    imitation.serve("khresmoi", whole + b"\0")
    status, said = imitation.build()
    assert status == 1
    assert "gave a file with the sha256" in said
    assert not cached.exists()
