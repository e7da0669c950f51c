"""A real headless Chromium, driven by chromedriver over the W3C WebDriver protocol with the standard library."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
AT_HAND = bool(BROWSER and DRIVER)
KEYS = {"tab": "\ue004", "enter": "\ue007", "escape": "\ue00c", "backspace": "\ue003"}
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Browser:
    """One page of one browser."""

    def __init__(self, session: str) -> None:
        self._session = session

    def _call(self, path: str, body: dict[str, Any]) -> Any:
        return _post(f"{self._session}/{path}", body)["value"]

    def open(self, page: Path | str, width: int, height: int = 900, dark: bool = False) -> None:
        """Show a file or an address in a viewport of an exact size."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.devtools("Emulation.setEmulatedMedia", {"features": scheme})
        self._call("url", {"url": page if isinstance(page, str) else page.resolve().as_uri()})

    def devtools(self, command: str, params: dict[str, Any]) -> Any:
        """A command of the Chrome DevTools protocol."""
        return self._call("goog/cdp/execute", {"cmd": command, "params": params})

    def run(self, script: str) -> Any:
        """The value a script returns."""
        return self._call("execute/sync", {"script": script, "args": []})

    def wait(self, condition: str, seconds: float = 30.0) -> None:
        """Wait until a script's expression is true, also across a change of page."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with suppress(urllib.error.HTTPError):  # between two pages there is none to ask
                if self.run(f"return Boolean({condition})"):
                    return
            time.sleep(0.02)
        raise TimeoutError(f"{condition} is not true after {seconds} s")

    def press(self, keys: str) -> None:
        """Type on the keyboard, wherever the focus is; for special keys see `KEYS`."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._call("actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def complaints(self) -> list[str]:
        """What the console has had to say since the last call: errors, refused code, things not found."""
        return [entry["message"] for entry in self._call("se/log", {"type": "browser"}) if entry["level"] == "SEVERE"]

    def accessibility_faults(self) -> list[str]:
        """What axe-core finds serious or critical on the page, one line each.

        Raises:
            ModuleNotFoundError: axe-playwright-python, which brings axe-core, is not installed.
        """
        import axe_playwright_python

        self.run((Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
        script = """
        const done = arguments[arguments.length - 1];
        axe.run().then((found) => done(found.violations
            .filter((fault) => ["serious", "critical"].includes(fault.impact))
            .map((fault) => fault.id + ": " + fault.nodes.map((node) => node.target.join(" ")).join(", "))))
        .catch((error) => done([String(error)]));
        """
        found: list[str] = self._call("execute/async", {"script": script, "args": []})
        return found

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
