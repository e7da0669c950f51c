"""The page in a real Chromium: by keyboard alone, by touch, for everybody's eyes and ears."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests import browser as chromium
from tests.browser import KEYS, Browser
from tests.experts.test_queue import Clock, item, pair
from tests.experts.web.conftest import Place

pytestmark = pytest.mark.skipif(not chromium.AT_HAND, reason="needs chromium and chromedriver, which are not here")
READY = "document.querySelector('[data-ready]')"
HERE = "document.querySelector('#annotate')?.dataset.item"
TEXT = (
    "Give them air: cut the lower leaves, water the soil and not the plant, and put a roof of foil above them. "
    "Pick what is ripe at once.\n\n1. cut\n2. water\n3. cover\n\nhttps://example.org/" + "a-very-long-address/" * 8
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests."""
    with chromium.browser() as opened:
        yield opened


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """Where pictures go: CI's artefacts, or a folder that is thrown away."""
    folder = Path(os.environ.get("CI_ARTIFACTS") or tmp_path) / "experts"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def come_in(browser: Browser, place: Place, name: str = "ann", role: str = "annotator", width: int = 1280) -> None:
    """Log in by keyboard: the page puts the focus into the field."""
    token = place.site.users.add(name, role)  # type: ignore[arg-type]
    browser.devtools("Network.clearBrowserCookies", {})
    browser.open(f"{place.address}/login", width)
    browser.wait("document.activeElement.id === 'token'")
    browser.press(token + KEYS["enter"])
    browser.wait(READY)


def at(browser: Browser) -> str | None:
    found: str | None = browser.run(f"return {HERE}")
    return found


def press(browser: Browser, key: str) -> None:
    """Press a key that leads to another page, and wait for that."""
    browser.run("document.documentElement.dataset.old = ''")
    browser.press(key)
    browser.wait(f"!('old' in document.documentElement.dataset) && {READY}")


def test_an_expert_answers_twenty_items_by_keyboard_alone_undoes_one_and_flags_one(
    place: Place, browser: Browser
) -> None:
    made = [pair(i) if i % 2 else item(i) for i in range(21)]
    items = {i.id: i for i in (replace(one, pi=1 - n / 100, blind=n % 5 == 0) for n, one in enumerate(made))}
    place.push(list(items.values()), budget=30)
    come_in(browser, place)
    expected, undone, flagged = dict[str, float](), "", ""
    for count in range(22):
        asked = items[str(at(browser))]
        if count == 7:
            browser.press("f")
            browser.wait("document.activeElement.id === 'reason'")
            browser.press("two requests in one a r t 1 2 s u")  # letters typed in a field are no commands
            press(browser, KEYS["enter"])
            flagged = asked.id
            continue
        keys = {"point": "art", "pair": "12t"}[asked.kind]
        if asked.blind:
            press(browser, keys[1])
            assert "Confirm it, or change it" in browser.run("return document.body.innerText")
        press(browser, keys[count % 3])
        expected[asked.id] = asked.as_shown((1.0, 0.0, 0.5)[count % 3])
        if count == 11:
            press(browser, "u")
            undone = asked.id
            del expected[asked.id]
    assert "Nothing to answer now" in browser.run("return document.body.innerText")
    assert len(expected) == 20 and undone in expected and flagged not in expected
    assert {a.item_id: a.value for a in place.queue.answers()} == expected
    assert [flag.item_id for flag in place.queue.flags()] == [flagged]
    assert sum(entry.action == "undo" for entry in place.queue.audit()) == 1
    assert all(a.seconds is not None and 0 < a.seconds < 60 for a in place.queue.answers())
    assert place.queue.verify() == [] and browser.complaints() == []


PAGES = {
    "point": "/",
    "pair": "/",
    "blind": "/",
    "second look": "/",
    "covered": "/",
    "idle": "/",
    "statistics": "/statistics",
    "flags": "/flags",
    "users": "/users",
    "settings": "/settings",
    "help": "/help",
    "login": "/login",
    "refused": "/nowhere",
}


def arrange(place: Place, browser: Browser, name: str) -> None:
    """Bring an admin to the state that the page shows."""
    one = item(1, first=TEXT, query="How do I keep tomatoes from rotting in a wet summer?", p=0.8, critique=TEXT[:107])
    two = replace(one, kind="pair", second_id="s", second="I cannot help with that.")
    asked = {
        "pair": two,
        "blind": replace(two, blind=True),
        "second look": replace(two, blind=True),
        "covered": replace(one, harmful=True),
    }.get(name, one)
    if name != "idle":
        place.push([replace(asked, votes=3), replace(one, id="item002", pi=0.1), replace(one, id="item003", pi=0.05)])
    for other in (
        ("ben", "a-long-name-without-a-single-space-in-it") if name in ("statistics", "flags", "users") else ()
    ):
        visitor = place.visitor(other)
        visitor.send(visitor.send(visitor.get("/"), "/answer", answer="accept"), "/flag", reason="odd " * 20)
    come_in(browser, place, "root", "admin")
    if name == "second look":
        press(browser, "2")


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_accessible_and_fits_in_both_schemes_at_every_width(
    place: Place, browser: Browser, shots: Path, name: str
) -> None:
    arrange(place, browser, name)
    if name == "login":
        browser.devtools("Network.clearBrowserCookies", {})
    for width in (320, 390, 820, 1280):
        for dark in (False, True):
            browser.open(place.address + PAGES[name], width, dark=dark)
            browser.wait("document.readyState === 'complete'")
            assert browser.run("return document.documentElement.scrollWidth") <= width
            if width in (390, 1280):
                assert browser.accessibility_faults() == []
                browser.screenshot(shots / f"{name.replace(' ', '-')}-{width}-{'dark' if dark else 'light'}.png")
    if name not in ("covered", "refused"):
        assert browser.complaints() == []
    browser.complaints()


def test_open_parts_of_the_annotation_page_are_accessible_too(place: Place, browser: Browser, shots: Path) -> None:
    arrange(place, browser, "pair")
    browser.press("e")
    browser.wait("document.activeElement.id === 'critique'")
    browser.press(KEYS["escape"])
    assert browser.run("return document.activeElement.tagName") == "SUMMARY"
    browser.press("f")
    browser.wait("document.activeElement.id === 'reason'")
    assert browser.accessibility_faults() == []
    browser.screenshot(shots / "open-1280-light.png")
    browser.press(KEYS["escape"] + "?")
    browser.wait("document.querySelector('dialog').open")
    assert browser.accessibility_faults() == []
    browser.press("1")  # the dialog is modal: no answer is given behind it
    browser.press(KEYS["escape"])
    browser.wait("!document.querySelector('dialog').open")
    assert place.queue.answers() == []


def test_axe_would_find_a_fault(place: Place, browser: Browser) -> None:
    browser.open(f"{place.address}/login", 1280)
    browser.run("document.querySelector('label').remove()")
    assert any(fault.startswith("label") for fault in browser.accessibility_faults())


def test_a_screen_reader_is_told_where_it_is_and_what_happened(place: Place, browser: Browser) -> None:
    place.push([item(i) for i in range(2)])
    come_in(browser, place)
    press(browser, "a")
    assert browser.run("return document.activeElement.tagName") == "H1"
    browser.wait("document.querySelector('[role=status]').textContent === 'Your answer is saved.'")
    tree = browser.devtools("Accessibility.getFullAXTree", {})["nodes"]
    named = {(node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree}
    assert named >= {
        *(("button", "Acceptable"), ("button", "Not acceptable"), ("button", "Cannot say"), ("button", "Skip")),
        *(("heading", "Is this answer acceptable?"), ("heading", "Request"), ("heading", "Answer")),
        *(("navigation", "Pages"), ("complementary", "Guideline"), ("progressbar", "Labels given in this round")),
        *(("main", ""), ("banner", ""), ("region", "Request"), ("region", "Answer")),
    }


def test_without_shortcuts_everything_is_reached_by_tab_and_enter(place: Place, browser: Browser) -> None:
    place.push([item(1)])
    come_in(browser, place)
    browser.open(f"{place.address}/settings", 1280)
    browser.click("input[name=shortcuts]")
    browser.click("form.fields button")
    browser.wait(f"{HERE} && {READY}")
    browser.press("a")
    for _ in range(20):
        browser.press(KEYS["tab"])
        if browser.run("return document.activeElement.value") == "refuse":
            break
    press(browser, KEYS["enter"])
    assert [a.value for a in place.queue.answers()] == [0.0]


def test_a_finger_answers_on_a_phone(place: Place, browser: Browser) -> None:
    place.push([pair(i) for i in range(2)])
    come_in(browser, place, width=390)
    browser.devtools("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        browser.open(place.address, 390)
        browser.wait(READY)
        sizes = browser.run("""return [...document.querySelectorAll("button, .bar summary, .bar a")]
            .filter((one) => one.checkVisibility()).map((one) => one.getBoundingClientRect().height)""")
        assert min(sizes) >= 40
        spot = browser.run("""const button = document.querySelector("button[value=a]");
            button.scrollIntoView({block: "center"});
            const box = button.getBoundingClientRect();
            return {x: box.x + box.width / 2, y: box.y + box.height / 2}""")
        browser.devtools("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [spot]})
        browser.devtools("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        browser.wait("document.querySelector('[role=status]').textContent === 'Your answer is saved.'")
    finally:
        browser.devtools("Emulation.setTouchEmulationEnabled", {"enabled": False})
    (answer,) = place.queue.answers()
    assert answer.item.as_shown(answer.value) == 1.0


def test_covered_text_is_nowhere_in_the_document_until_v_is_pressed(place: Place, browser: Browser) -> None:
    place.push([item(1, harmful=True, query="SECRET-Q", first="SECRET-A", critique="SECRET-C")])
    come_in(browser, place)
    browser.press("are")  # neither answers nor edits what nobody could read
    assert "SECRET" not in browser.run("return document.documentElement.outerHTML")
    press(browser, "v")
    assert browser.run("return document.documentElement.innerText").count("SECRET") == 3
    press(browser, "r")
    assert [a.value for a in place.queue.answers()] == [0.0]


def test_a_key_meant_for_the_item_before_does_not_answer_the_next(place: Place, browser: Browser) -> None:
    place.push([item(i) for i in range(6)])
    come_in(browser, place)
    browser.run("document.documentElement.dataset.old = ''")
    browser.press("aaa")
    browser.wait(f"!('old' in document.documentElement.dataset) && {READY}")
    assert len(place.queue.answers()) == 1


def test_the_page_holds_its_item_while_somebody_is_there(make_place: Callable[..., Place], browser: Browser) -> None:
    clock = Clock()
    place = make_place(clock=clock, lease_s=6.0)
    place.push([item(1)])
    come_in(browser, place)
    clock.now += 3
    before = place.queue.held("ann")
    browser.press(KEYS["tab"])
    browser.wait("performance.getEntriesByType('resource').some((entry) => entry.name.endsWith('/heartbeat'))")
    after = place.queue.held("ann")
    assert before and after and after.expires_at == before.expires_at + 3
    clock.now += 100
    assert place.visitor("ben").get("/").item == "item001"
    browser.wait("document.querySelector('[role=status]').textContent.includes('ran out')")
    browser.complaints()


def test_an_idle_page_shows_an_item_when_one_comes(place: Place, browser: Browser) -> None:
    come_in(browser, place)
    assert at(browser) is None
    place.push([item(1)])
    browser.wait(f"{HERE} === 'item001'")


def test_nothing_moves_for_those_who_asked_for_that(place: Place, browser: Browser) -> None:
    place.push([item(1)])
    come_in(browser, place)
    still = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    browser.devtools("Emulation.setEmulatedMedia", {"features": still})
    moving = browser.run("""return [...document.querySelectorAll("*")].filter((one) => {
        const style = getComputedStyle(one);
        return style.animationName !== "none" || style.transitionDuration !== "0s";
    }).length""")
    assert moving == 0
