"""The pages of adjudicators and admins over plain HTTP: flags, statistics, users."""

from __future__ import annotations

from tests.experts.test_queue import item
from tests.experts.web.conftest import Place
from tests.experts.web.visitor import Page, Visitor


def flagged_page(place: Place) -> tuple[Visitor, Page]:
    place.push([item(1, harmful=True, query="SECRET-Q"), item(2, harmful=True, query="SECRET-R")])
    ann = place.visitor("ann")
    ann.send(ann.send(ann.get("/"), "/flag", reason="odd"), "/flag", reason="odd too")
    adjudicator = place.visitor("jo", "adjudicator")
    return adjudicator, adjudicator.get("/flags")


def test_an_adjudicator_uncovers_and_answers_a_flagged_item(place: Place) -> None:
    jo, page = flagged_page(place)
    assert "SECRET" not in page.text and "odd too" in page.text
    page = jo.post("/flags/reveal", page.form("/flags/reveal") | {"item": "item001"})
    assert "SECRET-Q" in page.text and "SECRET-R" not in page.text
    assert [e.subject for e in place.queue.audit() if (e.actor, e.action) == ("jo", "reveal")] == ["item item001"]
    page = jo.send(page, "/flags/answer", answer="refuse")
    assert "Your answer is saved" in page.text and "Your answer: Not acceptable" in page.text
    assert [(a.item_id, a.annotator, a.value) for a in place.queue.answers()] == [("item001", "jo", 0.0)]
    assert jo.ask("POST", "/flags/answer", page.form("/flags/reveal") | {"item": "none", "answer": "tie"}).status == 404


def test_statistics_show_agreement_beside_the_critics_and_a_gain(place: Place) -> None:
    place.push([item(i, votes=2, gold=1.0 if i == 0 else None, blind=True, p=0.9) for i in range(4)])
    for name in ("ann", "ben"):
        visitor = place.visitor(name)
        page = visitor.get("/")
        while page.item:
            visitor.send(page, "/alone", answer="accept")
            page = visitor.send(visitor.get("/"), "/answer", answer="accept")
    page = place.visitor("jo", "adjudicator").get("/statistics")
    for words in ("Expert with expert", "Expert with critic", "Krippendorff", "Oversight gain", "ann", "ben"):
        assert words in page.text
    assert "100\N{NARROW NO-BREAK SPACE}%" in page.text


def test_an_admin_adds_users_and_disables_them_at_once(place: Place) -> None:
    root = place.visitor("root", "admin")
    page = root.send(root.get("/users"), "/users", name="ann", role="annotator")
    token = page.text.partition("<code>")[2].partition("</code>")[0]
    assert token not in root.get("/users").text
    ann = Visitor(place.address)
    assert ann.login(token).status == 200 and ann.get("/settings").status == 200
    root.post("/users/disable", root.get("/users").form("/users") | {"name": "ann"})
    assert "Log in" in ann.get("/settings").text
    assert ann.login(token).status == 403
    for name, role in (("", "annotator"), ("ann\x1b[2J", "annotator"), ("eve", "god"), ("root", "admin")):
        assert root.ask("POST", "/users", page.form("/users") | {"name": name, "role": role}).status == 400
    assert root.ask("POST", "/users/disable", page.form("/users") | {"name": "root"}).status == 400
