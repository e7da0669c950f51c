"""Attacks on the page: each is made as an attacker would, and fails."""

from __future__ import annotations

import json
import re

import pytest
from fastapi.routing import APIRoute
from itsdangerous import URLSafeTimedSerializer

from superalign.experts.web.app import create_app
from superalign.experts.web.security import Session, Signer
from tests.experts.test_queue import item
from tests.experts.web.conftest import Place
from tests.experts.web.visitor import Page, Visitor

FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]


def posts(place: Place) -> list[str]:
    """Every path of the application that takes a POST."""
    app = create_app(place.site).app
    found: list[str] = []
    routes = list(app.routes)  # type: ignore[attr-defined]
    while routes:
        route = routes.pop()
        routes += getattr(getattr(route, "original_router", None), "routes", [])
        if isinstance(route, APIRoute) and "POST" in route.methods:
            found.append(route.path)
    return sorted(set(found))


def everything(page: Page) -> dict[str, object]:
    """Fields that satisfy any form."""
    return {
        "lease": page.form("/skip")["lease"],
        **{"answer": "accept", "reason": "r", "label": "l", "item": page.item, "name": "eve", "role": "admin"},
    }


def state(place: Place) -> tuple[int, int, int]:
    """What an attack must not change."""
    return len(place.queue.answers()), len(place.site.users.all()), len(place.queue.audit())


def test_no_post_works_without_the_token_of_its_session(place: Place) -> None:
    place.push([item(i) for i in range(3)])
    root, ann = place.visitor("root", "admin"), place.visitor("ann")
    page, foreign = root.get("/"), ann.get("/").form("/skip")["csrf"]
    paths = posts(place)
    assert {"/login", "/logout", "/answer", "/alone", "/users", "/flags/answer", "/settings"} <= set(paths)
    before = state(place)
    for path in paths:
        for csrf in ({}, {"csrf": ""}, {"csrf": foreign}, {"csrf": "0" * 64}, {"csrf": "\ud800é"}):
            answer = root.ask("POST", path, everything(page) | csrf)
            assert answer.status == 403, (path, csrf)
    assert state(place) == before
    assert root.get("/").item == page.item


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_request_that_another_site_made_is_refused_even_with_a_token(place: Place, headers: dict[str, str]) -> None:
    place.push([item(1)])
    ann = place.visitor("ann")
    page = ann.get("/")
    fields = page.form("/answer") | {"answer": "accept"}
    assert ann.ask("POST", "/answer", fields, headers).status == 403
    assert place.queue.answers() == []
    own = {"Origin": place.address, "Sec-Fetch-Site": "same-origin"}
    assert ann.ask("POST", "/answer", fields, own).status == 303


def test_a_forged_cookie_is_no_session(place: Place) -> None:
    place.push([item(1)])
    place.visitor("root", "admin")
    (user,) = place.site.users.all()
    signer, name = place.site.signer, f"{place.site.signer.prefix}_session"
    real = signer.session(Session(name="root", mark=user.mark))
    payload, stamp, signature = real.rsplit(".", 2)
    other = signer.session(Session(name="ann", mark=user.mark)).rsplit(".", 2)[0]
    forged = {
        "another key": Signer(b"x" * 32).session(Session(name="root", mark=user.mark)),
        "another salt": str(URLSafeTimedSerializer(b"k" * 32, "settings").dumps({"name": "root", "mark": user.mark})),
        "another payload": f"{other}.{stamp}.{signature}",
        "a cut signature": real[:-1],
        "no signature": payload,
        "plain JSON": json.dumps({"name": "root"}),
        "another token's mark": signer.session(Session(name="root", mark="0" * 16)),
        "nobody": signer.session(Session(name="nobody", mark=user.mark)),
        "settings as a session": signer.settings("root", signer.settings_of("root", "")),
        "garbage": "~|..!" * 50,
    }
    for kind, cookie in forged.items():
        visitor = Visitor(place.address)
        visitor.cookies = {name: cookie}
        assert "Log in" in visitor.get("/users").text, kind
    visitor.cookies = {name: "\x01\x02.." * 50}
    assert visitor.get("/users").status == 400
    visitor.cookies = {name: real}
    assert "Add a user" in visitor.get("/users").text


@pytest.mark.parametrize(
    ("role", "open_pages"),
    [("annotator", set()), ("adjudicator", {"/statistics", "/flags"}), ("admin", {"/statistics", "/flags", "/users"})],
)
def test_a_role_reaches_its_own_pages_only(place: Place, role: str, open_pages: set[str]) -> None:
    place.push([item(i) for i in range(3)])
    visitor = place.visitor("ann", role)  # type: ignore[arg-type]
    page = visitor.get("/")
    for path in ("/statistics", "/flags", "/users"):
        assert visitor.get(path).status == (200 if path in open_pages else 403)
        assert (f'href="{path}"' in page.text) == (path in open_pages)
    fields = page.form("/skip") | everything(page)
    before = state(place)
    for path in ("/users", "/users/disable", "/flags/reveal", "/flags/answer"):
        if "/" + path.split("/")[1] not in open_pages:
            assert visitor.ask("POST", path, fields).status == 403
    assert state(place) == before


def test_nobody_sees_a_page_without_a_login(place: Place) -> None:
    place.push([item(1)])
    visitor = Visitor(place.address)
    for path in ("/", "/statistics", "/flags", "/users", "/settings", "/help"):
        answer = visitor.ask("GET", path)
        assert (answer.status, answer.headers["location"], answer.text) == (303, "/login", "")
    for path in ("/openapi.json", "/docs", "/redoc", "/static/", "/static/../site.py", "/static/%2e%2e/security.py"):
        assert visitor.ask("GET", path).status == 404


def test_another_annotators_item_cannot_be_touched(place: Place) -> None:
    place.push([item(i, blind=True, harmful=True) for i in range(2)])
    ann, eve = place.visitor("ann"), place.visitor("eve")
    stolen = ann.get("/").form("/skip")["lease"]
    own = eve.get("/").form("/skip")
    held = place.queue.held("ann")
    assert held is not None
    before = state(place)
    for lease in (stolen, held.token, f'"{held.token}"', ""):
        for path in ("/answer", "/alone", "/skip", "/flag", "/reveal", "/heartbeat", "/undo"):
            last = {"label": "x"} if path == "/undo" and lease == "" else {}
            answer = eve.ask("POST", path, own | {"lease": lease, "answer": "accept", "reason": "r"} | last)
            assert answer.status in (400, 403) or (path == "/undo" and "nothing" in answer.headers["location"])
    assert state(place) == before
    assert place.queue.held("ann") == held


def test_another_annotators_answer_cannot_be_taken_back(place: Place) -> None:
    place.push([item(i) for i in range(5)])
    ann, eve = place.visitor("ann"), place.visitor("eve")
    label = ann.send(ann.get("/"), "/answer", answer="accept").form("/undo")["label"]
    eve.send(eve.get("/"), "/answer", answer="refuse")
    assert "nothing to undo" in eve.post("/undo", eve.get("/").form("/skip") | {"label": label}).note
    assert len(place.queue.answers()) == 2


def test_an_annotator_sees_no_answer_of_another_before_answering(place: Place) -> None:
    place.push([item(1, votes=2, blind=True, gold=1.0, critique="CRITIC", p=0.77)])
    ann, eve = place.visitor("SPYGLASS"), place.visitor("eve")
    ann.send(ann.get("/"), "/alone", answer="refuse")
    ann.send(ann.get("/"), "/answer", answer="refuse", critique="EDITED")
    seen = [eve.get(path).text for path in ("/", "/settings", "/help", "/statistics", "/flags", "/users")]
    seen = [re.sub(r'name="(csrf|lease)" value="[^"]*"', "", text) for text in seen]
    for secret in ("SPYGLASS", "EDITED", "CRITIC", "77", "gold", "trap"):
        assert not any(secret in text for text in seen), secret


def test_a_replayed_answer_counts_once_and_cannot_change(place: Place) -> None:
    place.push([item(i) for i in range(2)])
    ann = place.visitor("ann")
    fields = ann.get("/").form("/answer")
    for _ in range(3):
        assert "kept" in ann.ask("POST", "/answer", fields | {"answer": "accept"}).headers["location"]
    assert "other" in ann.ask("POST", "/answer", fields | {"answer": "refuse"}).headers["location"]
    assert [label.value for label in place.queue.labels()] == [1.0]
    ann.send(ann.get("/"), "/undo")
    ann.ask("POST", "/answer", fields | {"answer": "accept"})
    assert place.queue.labels() == []  # the lease was used up: what was taken back stays so
    assert place.queue.verify() == []


def test_a_cookie_copied_before_leaving_is_dead_afterwards(place: Place) -> None:
    place.push([item(1)])
    ann = place.visitor("ann")
    page, thief = ann.get("/"), Visitor(place.address)
    thief.cookies = dict(ann.cookies)
    assert thief.get("/settings").status == 200
    ann.send(page, "/logout")
    assert "Log in" in thief.get("/settings").text
    assert thief.ask("POST", "/answer", page.form("/answer") | {"answer": "accept"}).status == 403
    assert place.queue.answers() == []


def test_a_new_token_ends_the_sessions_of_the_old_one(place: Place) -> None:
    old = place.visitor("ann")
    place.site.users.disable("ann")
    assert "Log in" in old.get("/").text
    place.site.users.add("ann", "annotator")
    assert "Log in" in old.get("/").text


def test_the_login_takes_a_cookie_of_its_own_that_nobody_could_plant(place: Place) -> None:
    token = place.site.users.add("ann", "annotator")
    ann = Visitor(place.address)
    planted = ann.get("/login").form("/login")
    before = dict(ann.cookies)
    ann.post("/login", planted | {"token": token})
    assert ann.get("/settings").form("/settings")["csrf"] != planted["csrf"]
    other = Visitor(place.address)
    other.cookies = before
    assert "Log in" in other.get("/settings").text
    assert Visitor(place.address).ask("POST", "/login", planted | {"token": token}).status == 403
