"""Telling people that items wait: a webhook or a command of theirs, neither of which can hold up or fail a run."""

from __future__ import annotations

import json
import logging
import os
import shlex
import subprocess
import threading
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException

from superalign.errors import UserError

log = logging.getLogger(__name__)
TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is told: counts and names, never a text that somebody has to judge."""

    run: str
    round: int
    items: int

    @property
    def text(self) -> str:
        """The news in a sentence."""
        return (
            f"{self.items} items of round {self.round} of run {self.run} wait for experts: "
            f"superalign experts serve {self.run}"
        )


class Notifier:
    """Sends the news to `expert.notify_webhook` and `expert.notify_command`, each if it is set."""

    def __init__(self, webhook: str | None, command: str | None) -> None:
        """Check both without calling either.

        Raises:
            UserError: the webhook is no http address, or the command cannot be split into words.
        """
        if webhook is not None and not webhook.startswith(("http://", "https://")):
            raise UserError("expert.notify_webhook should be an address that begins with http:// or https://")
        try:
            self._command = shlex.split(command) if command is not None else []
        except ValueError as error:
            raise UserError(f"expert.notify_command: {error}") from None
        if command is not None and not self._command:
            raise UserError("expert.notify_command is empty; null tells nobody")
        self._webhook = webhook

    def tell(self, news: Waiting) -> threading.Thread:
        """Send the news from a thread of its own, which nobody need wait for. What fails is one line in the log."""
        thread = threading.Thread(target=self._tell, args=(news,), daemon=True, name="notify experts")
        thread.start()
        return thread

    def _tell(self, news: Waiting) -> None:
        try:
            if self._webhook:
                _post(self._webhook, news)
        except (OSError, ValueError, HTTPException) as error:
            # The path and query of a webhook are its password.
            host = urllib.parse.urlsplit(self._webhook or "").hostname
            log.warning("expert.notify_webhook: %s was not told that items wait: %s", host, _reason(error))
        try:
            if self._command:
                _run(self._command, news)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            log.warning("expert.notify_command: %s: %s", self._command[0], _reason(error))


def _post(webhook: str, news: Waiting) -> None:
    """POST the news as JSON; chat services show the field `text`."""
    body = {"run": news.run, "round": news.round, "waiting": news.items, "text": news.text}
    request = urllib.request.Request(webhook, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S):
        pass


def _run(command: list[str], news: Waiting) -> None:
    """Run the command without a shell; it gets the count and the run as arguments, and all in its environment."""
    told = {"RUN": news.run, "ROUND": str(news.round), "WAITING": str(news.items), "TEXT": news.text}
    subprocess.run(
        [*command, str(news.items), news.run],
        env=os.environ | {f"SUPERALIGN_{name}": value for name, value in told.items()},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=TIMEOUT_S,
        check=True,
    )


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.TimeoutExpired):
        return f"took longer than {TIMEOUT_S:.0f} s"
    if isinstance(error, subprocess.CalledProcessError):
        return f"ended with {error.returncode}"
    return str(error).partition("\n")[0]
