"""Hundreds of texts that want to be more than text: from models and from annotators, to page, log and terminal."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from superalign.config.schema import Config
from superalign.experts import terminal
from superalign.experts.items import Item
from superalign.experts.queue import ExpertQueue
from superalign.experts.terminal import clean
from superalign.store.run_writer import RunWriter
from tests import browser as chromium
from tests.experts.test_queue import item, pair
from tests.experts.web.conftest import Place
from tests.experts.web.payloads import PAYLOADS
from tests.experts.web.visitor import Page, Visitor

in_a_browser = pytest.mark.skipif(not chromium.AT_HAND, reason="needs chromium and chromedriver, which are not here")
GROUPS = [(PAYLOADS * 2)[at : at + 4] for at in range(0, len(PAYLOADS), 4)]


class Skeleton(HTMLParser):
    """The tags of a page with the names of their attributes, without the texts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, ...]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, *(name for name, _ in attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.tags.append((f"/{tag}",))


def skeleton(page: Page) -> list[tuple[str, ...]]:
    reader = Skeleton()
    reader.feed(page.text)
    return reader.tags


def hostile(index: int, texts: Iterable[str]) -> Item:
    query, first, second, critique = texts
    made = replace(pair(index), query=query, first=first, second=second, critique=critique, category=critique, p=0.9)
    return replace(made, pi=1 - index / 1000)


def shown(text: str) -> str:
    """How a text stands on the page: control characters in writing, line ends as HTML reads them."""
    return clean(text)


def raw(output: str) -> set[str]:
    """The control characters that a terminal would obey."""
    return {c for c in output if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs")}


def test_there_are_enough_of_them() -> None:
    assert len(PAYLOADS) >= 200


def test_a_models_text_stands_on_the_page_as_text_and_moves_nothing(place: Place) -> None:
    place.push([hostile(i, group) for i, group in enumerate(GROUPS)], budget=1000)
    ann = place.visitor("ann")
    page = ann.get("/")
    plain, answered = None, {}
    while page.item:
        asked = hostile(int(page.item[4:]), GROUPS[int(page.item[4:])])
        assert page.words == [shown(asked.query), *map(shown, asked.shown), shown(asked.critique)]
        assert f"<b>Answer {1 + asked.swapped} is better (90" in page.text
        assert not raw(page.text)
        tags = skeleton(page)
        if answered:
            plain = plain or tags
            assert tags == plain
        answered[page.item] = asked.as_shown(1.0)
        page = ann.send(page, "/answer", answer="a")
    assert {a.item_id: a.value for a in place.queue.answers()} == answered and len(answered) == len(GROUPS)
    assert place.queue.verify() == []


def test_what_annotators_write_is_shown_to_adjudicators_as_text(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "superalign")
    texts = PAYLOADS[::2]  # as reasons; the others as critiques
    place.push([item(i) for i in range(len(PAYLOADS))], budget=1000)
    ann, jo, root = place.visitor("ann"), place.visitor("jo", "adjudicator"), place.visitor("root", "admin")
    ann.send(ann.get("/"), "/flag", reason="plain words")
    ben = place.visitor("ben")
    ben.send(ben.get("/"), "/answer", answer="accept")
    before = [skeleton(jo.get("/statistics")), skeleton(root.get("/users"))]
    page = ann.get("/")
    for reason in texts:
        page = ann.send(page, "/flag", reason=reason)
    page = ben.get("/")
    for critique in PAYLOADS[1::2]:
        page = ben.send(page, "/answer", answer="accept", critique=critique)
    flags = jo.get("/flags")
    assert all(shown(reason) in unescape(flags.text) for reason in texts)
    once = skeleton(flags)
    assert {tag[0] for tag in once} <= {
        *("html", "head", "meta", "title", "link", "script", "body", "a", "header", "p", "b", "span", "nav", "form"),
        *("input", "button", "main", "h1", "h2", "h3", "section", "div"),
        *(f"/{t}" for t in ("html", "head", "title", "script", "body", "a", "header", "p", "b", "span", "nav", "form")),
        *(f"/{t}" for t in ("button", "main", "h1", "h2", "h3", "section", "div")),
    }
    assert sum(tag[0] == "script" for tag in once) == 1 and sum(tag[0] == "section" for tag in once) == len(texts) + 1
    assert not raw(flags.text)
    assert [skeleton(jo.get("/statistics")), skeleton(root.get("/users"))] == before
    kept = [answer for answer in place.queue.answers() if answer.critique]
    assert len(kept) >= len(PAYLOADS) // 2 - 3 and {answer.value for answer in place.queue.answers()} == {1.0}
    csrf, stranger = {"csrf": root.get("/help").form("/logout")["csrf"]}, Visitor(place.address)
    knock = stranger.get("/login")
    for payload in PAYLOADS:
        assert root.ask("POST", "/users", csrf | {"name": "eve", "role": payload}).status == 400
        assert stranger.send(knock, "/login", token=payload[:200]).status == 403
    for payload in PAYLOADS[::5]:
        answer = root.ask("POST", "/users", csrf | {"name": payload, "role": "annotator"})
        assert answer.status in (200, 400) and not raw(answer.text)
    assert {user.name for user in place.site.users.all() if user.role != "annotator"} == {"jo", "root"}
    assert not raw("".join(record.getMessage() for record in caplog.records))
    assert place.queue.verify() == []


def test_the_terminal_gets_none_of_it_raw(tmp_path: Path) -> None:
    with RunWriter.create_or_resume(Config().model_dump(mode="json"), tmp_path, "tried"):
        pass
    queue = ExpertQueue(tmp_path / "tried/experts.sqlite")
    queue.push([hostile(i, group) for i, group in enumerate(GROUPS)], 1, 1000)
    out = io.StringIO()
    keys = iter("c1" * len(GROUPS))
    assert terminal.label(queue, "ann", Console(file=out, width=100), lambda: next(keys)) == len(GROUPS)
    assert not raw(out.getvalue())
    with queue.database.write() as db:
        for index, payload in enumerate(PAYLOADS):
            text = payload.encode(errors="replace").decode().replace("\0", "")
            db.exec_driver_sql(
                "INSERT INTO person VALUES (?, 'admin', 'x', 0)", (f"{text}{index}",)
            )  # behind the log's back
            db.exec_driver_sql("UPDATE label SET annotator = ? WHERE seq = ?", (text, index + 1))
    queue.close()
    for verb, code in (("verify", 1), ("stats", 0)):
        command = [sys.executable, "-m", "superalign.commands.main", "experts", verb, str(tmp_path / "tried")]
        done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[3])
        assert done.returncode == code, done.stderr
        assert "pwned" in done.stdout and not raw(done.stdout + done.stderr)


@pytest.fixture
def browser() -> Iterator[chromium.Browser]:
    with chromium.browser() as opened:
        yield opened


@in_a_browser
def test_in_a_real_browser_nothing_runs_nothing_loads_and_keys_mean_what_they_say(
    place: Place, browser: chromium.Browser
) -> None:
    place.push([hostile(i, group) for i, group in enumerate(GROUPS)], budget=1000)
    token = place.site.users.add("ann", "annotator")
    browser.open(f"{place.address}/login", 1280)
    browser.wait("document.activeElement.id === 'token'")
    browser.press(token + chromium.KEYS["enter"])
    seen = set()
    for _ in GROUPS:
        browser.wait("document.querySelector('#annotate[data-ready]')")
        found = browser.run("""return {
            item: document.querySelector("#annotate").dataset.item,
            pwned: window.pwned === undefined,
            words: [...document.querySelectorAll("p.words")].map((p) => p.textContent),
            scripts: document.scripts.length,
            forms: document.forms.length,
            loaded: performance.getEntriesByType("resource").map((entry) => entry.name),
            focus: document.activeElement.tagName,
        }""")
        asked = hostile(int(found["item"][4:]), GROUPS[int(found["item"][4:])])
        assert found["words"] == [shown(asked.query), *map(shown, asked.shown), shown(asked.critique)]
        assert found["pwned"] and found["scripts"] == 1 and found["focus"] == "H1"
        assert all(name.startswith(place.address) for name in found["loaded"])
        seen.add((found["forms"], asked.id))
        browser.press("1")
        browser.wait(f"document.querySelector('#annotate')?.dataset.item !== '{found['item']}'")
    assert len({forms for forms, _ in seen}) <= 2 and len(seen) == len(GROUPS)  # the first page has no undo
    given = {a.item_id: a.value for a in place.queue.answers()}
    assert given == {i.id: i.as_shown(1.0) for i in place.queue.items()}
    assert browser.complaints() == []
