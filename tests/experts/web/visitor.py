"""Somebody who uses the experts' page over HTTP: keeps cookies, reads forms, follows redirects."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

if TYPE_CHECKING:
    from superalign.experts.web.security import Guard

IDLE_S = 3.0
FORM = re.compile(r'<form[^>]* action="([^"]*)"[^>]*>(.*?)</form>', re.DOTALL)
HIDDEN = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')


@dataclass(frozen=True)
class Page:
    """A page as the server sent it."""

    status: int
    headers: http.client.HTTPMessage
    text: str
    path: str

    def form(self, action: str) -> dict[str, str]:
        """The hidden fields of the form with that action."""
        body = next(body for found, body in FORM.findall(self.text) if found == action)
        return {name: unescape(value) for name, value in HIDDEN.findall(body)}

    @property
    def actions(self) -> set[str]:
        """Where the forms of the page lead."""
        return {action for action, _ in FORM.findall(self.text)}

    @property
    def item(self) -> str | None:
        """The item that the page asks about."""
        found = re.search(r'data-item="([^"]*)"', self.text)
        return unescape(found[1]) if found else None

    @property
    def words(self) -> list[str]:
        """The texts of models on the page, as a reader sees them."""
        reader = Words()
        reader.feed(self.text)
        return reader.found

    @property
    def note(self) -> str:
        """What the page says happened."""
        found = re.search(r'<p role="status" id="note" class="note">(.*?)</p>', self.text, re.DOTALL)
        return unescape(found[1]) if found else ""


class Words(HTMLParser):
    """Collects the paragraphs of class "words"."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._in = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "p" and dict(attrs).get("class") == "words":
            self._in = True
            self.found.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in = self._in and tag != "p"

    def handle_data(self, data: str) -> None:
        if self._in:
            self.found[-1] += data


class Visitor:
    """One browser of one person, without JavaScript."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self.connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        self.cookies: dict[str, str] = {}
        self._used = 0.0

    def ask(
        self,
        method: str,
        path: str,
        fields: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Page:
        """One request, its cookies kept."""
        sent = dict(headers or {})
        if self.cookies:
            sent.setdefault("Cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items()))
        body = None
        if fields is not None:
            body = urlencode(dict(fields), doseq=True, errors="replace")
            sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
        if time.monotonic() - self._used > IDLE_S:
            self.connection.close()  # the server does so, too, and perhaps this very moment
        self.connection.request(method, path, body, sent)
        answer = self.connection.getresponse()
        text = answer.read().decode(errors="replace")
        self._used = time.monotonic()
        for cookie in answer.headers.get_all("set-cookie") or []:
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return Page(answer.status, answer.headers, text, path)

    def get(self, path: str) -> Page:
        """A page."""
        return self.follow(self.ask("GET", path))

    def post(self, path: str, fields: Mapping[str, object]) -> Page:
        """Send a form and see where it leads."""
        return self.follow(self.ask("POST", path, fields))

    def follow(self, answer: Page) -> Page:
        """Go where the answer sends a browser."""
        while answer.status == 303:
            answer = self.ask("GET", answer.headers["location"])
        return answer

    def send(self, page: Page, action: str, **fields: object) -> Page:
        """Fill in a form of the page and send it."""
        return self.post(action, page.form(action) | fields)

    def login(self, token: str) -> Page:
        """Log in; returns the annotation page."""
        return self.send(self.get("/login"), "/login", token=token)


@contextmanager
def serving(app: Guard) -> Iterator[str]:
    """The application on a free port of this machine, served by a thread of this process; gives its address."""
    import uvicorn

    from superalign.experts.web.server import configured, listen

    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(configured(app))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
