"""A real headless Chromium, driven by chromedriver over the W3C WebDriver protocol with the standard library."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
AT_HAND = bool(BROWSER and DRIVER)
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Browser:
    """One page of one browser."""

    def __init__(self, session: str) -> None:
        self._session = session

    def _call(self, path: str, body: dict[str, Any]) -> Any:
        return _post(f"{self._session}/{path}", body)["value"]

    def open(self, page: Path, width: int, height: int = 900, dark: bool = False) -> None:
        """Show a file in a viewport of an exact size."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.devtools("Emulation.setEmulatedMedia", {"features": scheme})
        self._call("url", {"url": page.resolve().as_uri()})

    def devtools(self, command: str, params: dict[str, Any]) -> Any:
        """A command of the Chrome DevTools protocol."""
        return self._call("goog/cdp/execute", {"cmd": command, "params": params})

    def run(self, script: str) -> Any:
        """The value a script returns."""
        return self._call("execute/sync", {"script": script, "args": []})

    def click(self, selector: str) -> None:
        """Click the first such element as a person would: it must be visible and uncovered."""
        found = self._call("element", {"using": "css selector", "value": selector})
        self._call(f"element/{next(iter(found.values()))}/click", {})

    def screenshot(self, to: Path) -> None:
        """The whole page as a picture."""
        found = self.devtools("Page.captureScreenshot", {"captureBeyondViewport": True, "format": "png"})
        to.write_bytes(base64.b64decode(found["data"]))


def _post(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with DIRECT.open(request, timeout=60) as answer:
        return json.load(answer)


@contextmanager
def browser() -> Iterator[Browser]:
    """Start driver and browser, and end both."""
    assert BROWSER and DRIVER
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as driver,
    ):
        try:
            assert driver.stdout
            port = next(found[1] for line in driver.stdout if (found := re.search(r"successfully on port (\d+)", line)))
            root = f"http://127.0.0.1:{port}"
            arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
            options = {"binary": BROWSER, "args": [*arguments, "--hide-scrollbars", f"--user-data-dir={profile}"]}
            wanted = {
                "goog:chromeOptions": options,
                "goog:loggingPrefs": {"browser": "ALL"},
            }
            session = _post(f"{root}/session", {"capabilities": {"alwaysMatch": wanted}})["value"]["sessionId"]
            address = f"{root}/session/{session}"
            yield Browser(address)
            DIRECT.open(urllib.request.Request(address, method="DELETE"), timeout=60).close()
        finally:
            driver.terminate()
