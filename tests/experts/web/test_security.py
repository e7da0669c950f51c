"""What the page's security rests on: limits, headers, cookies and their key."""

from __future__ import annotations

import http.client
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from superalign.errors import UserError
from superalign.experts.web.security import BODY_LIMIT, RateLimit, Session, Signer, secret_key
from tests.experts.test_queue import Clock, item
from tests.experts.web.conftest import Place
from tests.experts.web.visitor import Visitor


def test_too_much_is_refused_before_it_is_read(place: Place) -> None:
    place.push([item(1)])
    ann = place.visitor("ann")
    fields = ann.get("/").form("/answer") | {"answer": "accept", "critique": "x" * BODY_LIMIT}
    assert ann.ask("POST", "/answer", fields).status == 413
    assert place.queue.answers() == []
    host, port = place.address.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    cookies = "; ".join(f"{name}={value}" for name, value in ann.cookies.items())
    headers = {"Cookie": cookies, "Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/answer", (b"x" * 8192 for _ in range(100)), headers, encode_chunked=True)
    assert connection.getresponse().status == 413
    assert ann.get("/").status == 200


def test_an_annotator_who_is_too_fast_is_slowed_down_and_nobody_else(make_place: Callable[..., Place]) -> None:
    place = make_place(requests=RateLimit(per_s=0.01, burst=5))
    place.push([item(1), item(2)])
    ann, ben = place.visitor("ann"), place.visitor("ben")
    answers = [ann.ask("GET", "/") for _ in range(8)]
    assert answers[-1].status == 429 and answers[-1].headers["retry-after"]
    assert ben.get("/").status == 200


def test_guessing_tokens_is_slow(make_place: Callable[..., Place]) -> None:
    place = make_place(failures=RateLimit(per_s=0.01, burst=3))
    token = place.site.users.add("ann", "annotator")
    eve = Visitor(place.address)
    page = eve.get("/login")
    statuses = [eve.ask("POST", "/login", page.form("/login") | {"token": f"guess{n}"}).status for n in range(5)]
    assert statuses == [403, 403, 403, 429, 429]
    assert eve.ask("POST", "/login", page.form("/login") | {"token": token}).status == 429


def test_the_rate_limit_refills_with_time() -> None:
    clock = Clock()
    limit = RateLimit(per_s=2.0, burst=3, clock=clock)
    assert [limit.spend("ann") for _ in range(4)] == [True, True, True, False]
    assert limit.spend("ben")
    clock.now += 1.0
    assert [limit.spend("ann") for _ in range(3)] == [True, True, False]


def test_every_answer_carries_the_headers(place: Place) -> None:
    place.push([item(1)])
    ann = place.visitor("ann")
    page = ann.get("/")
    seen = [ann.ask("GET", path) for path in ("/", "/login", "/nowhere", "/users", "/help", "/static/annotate.js")]
    seen += [ann.ask("POST", "/answer"), ann.ask("PUT", "/answer"), ann.ask("POST", "/answer", page.form("/skip"))]
    assert {answer.status for answer in seen} >= {200, 303, 400, 403, 404, 405}
    for answer in seen:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == ("no-cache" if "/static/" in answer.path else "no-store")
        assert "server" not in answer.headers
    cookie = seen[0].headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Secure" not in cookie


def test_away_from_this_machine_the_cookie_travels_encrypted_only(place: Place) -> None:
    visitor = Visitor(place.address)
    assert "Secure" in visitor.ask("GET", "/login", headers={"Host": "labels.example"}).headers["set-cookie"]
    proxied = visitor.ask("GET", "/login", headers={"X-Forwarded-Proto": "https"})
    assert "Secure" in proxied.headers["set-cookie"]


def test_pages_have_no_inline_code_and_load_nothing_from_elsewhere(place: Place) -> None:
    place.push([item(1)])
    root = place.visitor("root", "admin")
    for path in ("/", "/statistics", "/flags", "/users", "/settings", "/help", "/nowhere"):
        text = root.get(path).text
        assert text.count("<script") == 1 and '<script src="/static/annotate.js" defer></script>' in text
        assert "<style" not in text and " style=" not in text and " on" + "click" not in text and "http" not in text


def test_the_key_of_the_cookies_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "experts.key"
    key = secret_key(path)
    assert len(key) == 32 and path.stat().st_mode & 0o777 == 0o600
    assert secret_key(path) == key and os.listdir(tmp_path) == ["experts.key"]
    path.chmod(0o644)
    with pytest.raises(UserError, match="others may read"):
        secret_key(path)
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(UserError, match="damaged"):
        secret_key(path)
    with pytest.raises(UserError, match="cannot keep"):
        secret_key(tmp_path / "nowhere" / "key")


def test_a_session_ends_after_half_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    signer, session = Signer(b"k" * 32), Session(name="ann")
    cookie = signer.session(session)
    assert signer.session_of(cookie) == session and signer.session_of(cookie) != replace(session, name="root")
    import time

    later = time.time() + 13 * 3600
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: later)
    assert signer.session_of(cookie) is None
