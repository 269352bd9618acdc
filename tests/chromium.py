"""A headless Chromium driven over two pipes (its DevTools protocol), with the standard library alone."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 60.0  # seconds; the machine may be busy
CODES = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Backspace": 8}


def find() -> str | None:
    """The browser's path, where there is one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page of a browser whose profile and downloads are in `folder`; with `with`, so that it always ends."""

    def __init__(self, folder: Path, *, size: tuple[int, int] = (1200, 800)) -> None:
        self.downloads = folder / "downloads"
        self.downloads.mkdir(exist_ok=True)
        their_in, self._out = os.pipe()
        self._in, their_out = os.pipe()

        def wire() -> None:  # the protocol's pipes are 3 and 4, whatever numbers ours have
            high = [os.dup(fd) for fd in (their_in, their_out)]
            for fd, wanted in zip(high, (3, 4), strict=True):
                os.dup2(fd, wanted)

        self._process = subprocess.Popen(
            [
                str(find()), "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu",
                "--no-first-run", "--disable-dev-shm-usage", "--disable-background-networking",
                f"--window-size={size[0]},{size[1]}", f"--user-data-dir={folder / 'profile'}", "about:blank",
            ],
            preexec_fn=wire, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(their_in)
        os.close(their_out)
        self._number, self._rest = 0, b""
        self._session: str | None = None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.send("Page.enable")
        allowed = {"behavior": "allow", "downloadPath": str(self.downloads)}
        self.send("Browser.setDownloadBehavior", **allowed)

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._session = None
            self.send("Browser.close")
            self._process.wait(10)
        except (OSError, RuntimeError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._out)
        os.close(self._in)

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol, and its answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return dict(answer["result"])

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            piece = os.read(self._in, 1 << 16)
            if not piece:
                raise RuntimeError("the browser has ended")
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(message))

    def open(self, path: Path) -> None:
        """Load a file, and wait until it is there."""
        self.send("Page.navigate", url=path.as_uri())
        self.until(lambda: self.run("document.readyState === 'complete' && location.href !== 'about:blank'"))

    def reload(self) -> None:
        """Load the page anew."""
        self.run("window.stale = true")
        self.send("Page.reload")
        self.until(lambda: self.run("document.readyState === 'complete' && !window.stale"))

    def run(self, script: str) -> Any:
        """The value of an expression of JavaScript in the page."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """One stroke of a key, as a keyboard sends it."""
        code = CODES.get(key) or ord(key.upper())
        text = {"text": key} if len(key) == 1 else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def downloaded(self, ending: str) -> Path:
        """The file that was downloaded, once it is whole."""
        return self.until(lambda: next(iter(self.downloads.glob(f"*.{ending}")), None))

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """The page as a PNG."""
        data = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    @staticmethod
    def until(found: Callable[[], Any]) -> Any:
        """What `found` gives, once it gives something."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if value := found():
                return value
            time.sleep(0.05)
        raise RuntimeError("nothing came in time")
