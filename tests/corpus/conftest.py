"""A server for archives, and the public places of WMT17 on it."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from wmt17_imitation import Imitation, Server


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")  # a proxy, which a machine may have, does not reach this one
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def imitation(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Imitation:
    return Imitation(server, tmp_path, capsys)
