"""Notifications: a real server is posted to, a real command is run, and no failure of theirs reaches the run."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from superalign.errors import UserError
from superalign.experts import notify
from superalign.experts.notify import Notifier, Waiting

NEWS = Waiting("selfplay-1", 3, 12)


class Hook(HTTPServer):
    """Keeps what was posted; answers with `status`, after `delay` seconds."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Webhook)
        self.bodies: list[dict[str, Any]] = []
        self.status, self.delay = 200, 0.0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/secret-path"


class Webhook(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        self.server.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        time.sleep(self.server.delay)
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Hook() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


def told(notifier: Notifier) -> None:
    """Tell, and wait for the thread that tells."""
    notifier.tell(NEWS).join(30)


def test_a_webhook_gets_counts_and_names_as_json(hook: Hook) -> None:
    told(Notifier(hook.address, None))
    (body,) = hook.bodies
    assert body == {"run": "selfplay-1", "round": 3, "waiting": 12, "text": NEWS.text}
    assert "superalign experts serve selfplay-1" in body["text"]


def test_a_command_gets_count_and_run_without_a_shell(tmp_path: Path) -> None:
    out = tmp_path / "told.json"
    script = "import json, os, sys; json.dump([sys.argv[2:], dict(os.environ)], open(sys.argv[1], 'w'))"
    told(Notifier(None, f'{sys.executable} -c "{script}" {out} $HOME;'))
    words, environment = json.loads(out.read_text())
    assert words == ["$HOME;", "12", "selfplay-1"], "a shell would have read the first of them"
    assert environment["SUPERALIGN_ROUND"] == "3"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("false", "ended with 1"),
        ("no-such-command-here", "No such file"),
        (f"{sys.executable} -c 'import time; time.sleep(60)'", "longer"),
    ],
)
def test_a_command_that_fails_is_one_line(
    command: str, said: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "TIMEOUT_S", 0.3)
    caplog.set_level(logging.WARNING)
    began = time.monotonic()
    told(Notifier(None, command))
    assert time.monotonic() - began < 20
    (record,) = caplog.records
    assert said in record.message
    assert "\n" not in record.message


def test_a_webhook_that_fails_or_hangs_is_one_line_without_its_secret(
    hook: Hook, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "TIMEOUT_S", 0.3)
    caplog.set_level(logging.WARNING)
    hook.status = 500
    told(Notifier(hook.address, None))
    hook.delay = 1.0
    told(Notifier(hook.address, None))
    told(Notifier("http://127.0.0.1:9/secret-path", None))
    assert len(caplog.records) == 3
    assert all("127.0.0.1 was not told" in r.message and "secret-path" not in r.message for r in caplog.records)


def test_telling_does_not_wait(hook: Hook) -> None:
    hook.delay = 1.0
    began = time.monotonic()
    thread = Notifier(hook.address, "sleep 1").tell(NEWS)
    assert time.monotonic() - began < 0.5
    thread.join(30)
    assert len(hook.bodies) == 1


@pytest.mark.parametrize(
    ("webhook", "command", "said"),
    [
        ("file:///etc/passwd", None, "begins with http"),
        (None, "mail 'unclosed", "expert.notify_command"),
        (None, "  ", "empty"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(webhook: str | None, command: str | None, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Notifier(webhook, command)
