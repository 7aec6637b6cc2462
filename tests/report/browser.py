"""A headless Chromium for tests, told what to do over a pipe (the DevTools protocol).

Nothing of it reaches a network: every name is mapped to nothing. The protocol evaluates scripts
beside the page, so that a policy that forbids scripts is no hindrance.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-pipe",
)
# Chromium reads from 3 and writes to 4.
_START = (
    "import os, sys; r, w = map(int, sys.argv[1:3]); a = os.dup(r); b = os.dup(w);"
    " c = os.dup(b) if a == 4 or b == 3 else b;"
    " os.dup2(a, 103); os.dup2(c, 104); os.dup2(103, 3); os.dup2(104, 4);"
    " os.execv(sys.argv[3], sys.argv[3:])"
)
_PATIENCE_SECONDS = 60.0


def find() -> str | None:
    """Tell where a Chromium is; None if there is none."""
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


class Browser:
    """One running browser with one page."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        """Talk over two ends of pipes."""
        self._to, self._from = to_browser, from_browser
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []

    def begin(self) -> None:
        """Open a page, and listen to all that it does."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        answer = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = answer["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def show(self, path: Path, width: int, *, is_dark: bool, height: int = 740) -> None:
        """Load a file as a screen of this width shows it."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.events.clear()
        self.ask("Page.navigate", url=path.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._next()

    def evaluate(self, script: str) -> Any:
        """Evaluate an expression in the page."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def picture(self, path: Path, *, is_whole: bool = True) -> None:
        """Save what is seen, or the whole page, as PNG."""
        answer = self.ask(
            "Page.captureScreenshot",
            captureBeyondViewport=is_whole,
            **({"clip": self._all()} if is_whole else {}),
        )
        path.write_bytes(base64.b64decode(answer["data"]))

    def printed(self) -> bytes:
        """Print the page to PDF."""
        return base64.b64decode(self.ask("Page.printToPDF", printBackground=False)["data"])

    def requests(self) -> list[str]:
        """List what the page asked for since it was shown."""
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event["method"] == "Network.requestWillBeSent"
        ]

    def complaints(self) -> list[str]:
        """List what stands in the console, violations of the policy among it."""
        told = {"Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"}
        return [json.dumps(event["params"]) for event in self.events if event["method"] in told]

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                found: dict[str, Any] = answer["result"]
                return found

    def _all(self) -> dict[str, float]:
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        return {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._from], [], [], _PATIENCE_SECONDS)
            assert ready, "the browser does not answer"
            piece = os.read(self._from, 1 << 20)
            assert piece, "the browser has ended"
            self._buffer += piece
        text, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        if "method" in message:
            self.events.append(message)
        return message


@contextmanager
def running(program: str, folder: Path) -> Iterator[Browser]:
    """Start a browser with an empty profile in ``folder``, and end it afterwards."""
    their_in, our_out = os.pipe()
    our_in, their_out = os.pipe()
    for end in (their_in, their_out):
        os.set_inheritable(end, True)
    command = [sys.executable, "-c", _START, str(their_in), str(their_out), program, *_FLAGS]
    process = subprocess.Popen(
        [*command, f"--user-data-dir={folder / 'profile'}", "about:blank"],
        pass_fds=(their_in, their_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(folder)},
    )
    os.close(their_in)
    os.close(their_out)
    browser = Browser(our_out, our_in)
    try:
        browser.begin()
        yield browser
        browser.ask("Browser.close")
    finally:
        os.close(our_out)
        os.close(our_in)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
