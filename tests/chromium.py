"""A page in headless Chromium, driven over its debugging pipe as a reader would use it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DESKTOP, PHONE = (1280, 900), (390, 844)
PATIENCE = 120  # seconds; a page needs one, but not on a machine that is busy with other things


class Page:
    """One tab: evaluates JavaScript, moves the pointer, presses keys, and keeps what the page complained about."""

    def __init__(self, profile: Path) -> None:
        to_browser, from_browser = os.pipe(), os.pipe()
        flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
        ]
        redirect = f'exec "$@" 3<&{to_browser[0]} 4>&{from_browser[1]}'
        self._process = subprocess.Popen(
            ["bash", "-c", redirect, "bash", str(CHROMIUM), *flags],
            pass_fds=(to_browser[0], from_browser[1]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser[0])
        os.close(from_browser[1])
        self._write, self._read = os.fdopen(to_browser[1], "wb"), os.fdopen(from_browser[0], "rb")
        self._buffer, self._last, self._session = b"", 0, ""
        self.complaints: list[str] = []
        self.requests: list[str] = []
        try:
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
        except BaseException:
            self._kill()
            raise

    def close(self) -> None:
        self._session = ""
        try:
            self.call("Browser.close")
            self._process.wait(timeout=PATIENCE)
        finally:
            self._kill()

    def _kill(self) -> None:
        """End a browser that may have ended itself; its own processes end with it, as their pipes to it do."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._write, self._read):
            with contextlib.suppress(BrokenPipeError):  # of what was not sent to a browser that had ended
                pipe.close()

    def call(self, method: str, **parameters: Any) -> Any:
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._write.write(json.dumps(message).encode() + b"\0")
        self._write.flush()
        while True:
            answer = self._next()
            if answer.get("id") == self._last:
                assert "error" not in answer, answer
                return answer.get("result", {})
            self._event(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            assert select.select([self._read], [], [], PATIENCE)[0], (
                f"the browser said nothing for {PATIENCE} s"
            )
            received = os.read(self._read.fileno(), 65536)
            assert received, "the browser closed its pipe"
            self._buffer += received
        message, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def _event(self, event: dict[str, Any]) -> None:
        method, parameters = event.get("method"), event.get("params", {})
        console = method == "Runtime.consoleAPICalled" and parameters["type"] in (
            "error",
            "warning",
            "assert",
        )
        if console or method in ("Runtime.exceptionThrown", "Log.entryAdded"):
            self.complaints.append(json.dumps(parameters))
        elif method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])

    def open(self, path: Path, size: tuple[int, int]) -> None:
        width, height = size
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=size == PHONE,
        )
        self.requests.clear()
        self.complaints.clear()
        self.call("Page.navigate", url=path.as_uri())
        self.wait(lambda: self.run("document.readyState === 'complete' && !!document.querySelector('.card')"))

    def wait(self, condition: Callable[[], Any]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, f"the page did not get there in {PATIENCE} s"
            time.sleep(0.05)

    def run(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def set(self, control: str, value: str) -> None:
        """Choose or type a value as a user's action would."""
        kind = "input" if control in ("search", "bound") else "change"
        self.run(
            f"(() => {{ const c = document.getElementById({control!r}); c.value = {value!r};"
            f" c.dispatchEvent(new Event({kind!r})); }})()"
        )

    def bring(self, selector: str) -> dict[str, float]:
        """Scroll an element to the middle of the window; where its middle is once the page has told its scripts."""
        self.run(f"document.querySelector({selector!r}).scrollIntoView({{block: 'center'}})")
        frames = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))"
        self.call("Runtime.evaluate", expression=frames, awaitPromise=True)
        x, y = self.run(
            f"(() => {{ const b = document.querySelector({selector!r}).getBoundingClientRect();"
            " return [b.left + b.width / 2, b.top + b.height / 2]; })()"
        )
        return {"x": x, "y": y}

    def hover(self, selector: str) -> str:
        """Move the pointer onto an element; the text of the tooltip."""
        place = self.bring(selector)
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=0, y=0)
        self.call("Input.dispatchMouseEvent", type="mouseMoved", **place)
        self.wait(self.tip)
        return self.tip()

    def tap(self, selector: str) -> str:
        """Put a finger on the middle of an element and take it off; the text of the tooltip."""
        place = self.bring(selector)
        self.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[place])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        self.wait(self.tip)
        return self.tip()

    def tip(self) -> str:
        return str(
            self.run("document.getElementById('tip').hidden ? '' : document.getElementById('tip').innerText")
        )

    def key(self, name: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name)

    def ids(self) -> list[int]:
        found: list[int] = self.run(
            "[...document.querySelectorAll('.card')].map((c) => Number(c.dataset.id))"
        )
        return found

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))
