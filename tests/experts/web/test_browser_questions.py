"""Question by question in a real Chromium: by keyboard alone, in reach at every width, for every reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from superalign.records import by_dimension
from tests import browser as chromium
from tests.browser import Browser
from tests.experts.policies import shipped
from tests.experts.test_queue import item, pair
from tests.experts.web.conftest import Place
from tests.experts.web.test_browser import TEXT, browser, come_in, press, shots

__all__ = ["browser", "shots"]  # one browser for all tests of this file, and a place for its pictures

pytestmark = pytest.mark.skipif(not chromium.AT_HAND, reason="needs chromium and chromedriver, which are not here")


@pytest.fixture
def place(make_place: Callable[..., Place]) -> Place:
    return make_place(policy=shipped(), guideline=shipped().guideline)


def test_items_are_answered_question_by_question_by_keyboard_alone(place: Place, browser: Browser) -> None:
    place.push([item(1, pi=0.9, blind=True), item(2, pi=0.5), pair(3)], budget=10)
    come_in(browser, place)
    for keys in ("yn", "k", "k", "nyb", "nk", "1"):  # a blind item twice, one with a change of mind, a pair
        for key in keys:
            press(browser, key)
    assert "Nothing to answer now" in browser.run("return document.body.innerText")
    found = {answer.item_id: answer for answer in place.queue.answers()}
    assert {name: (answer.value, by_dimension(answer.dimensions)) for name, answer in found.items()} == {
        "item001": (1.0, {"harmful": 1.0, "complies": 0.0}),
        "item002": (0.0, {"harmful": 0.0, "complies": 0.0}),
        "item003": (pair(3).as_shown(1.0), {}),
    }
    assert all(answer.seconds is not None and 0 < answer.seconds < 60 for answer in found.values())
    assert place.queue.verify() == [] and browser.complaints() == []


def test_the_verdict_is_in_sight_before_it_is_kept_and_the_guideline_folds(place: Place, browser: Browser) -> None:
    place.push([item(1, first=TEXT * 8)])
    come_in(browser, place)
    press(browser, "n")
    press(browser, "n")
    assert browser.run("return document.querySelector('#asked').innerText") == "Your verdict: Not acceptable"
    seen = "const box = document.querySelector('#asked').getBoundingClientRect()"
    assert browser.run(f"{seen}; return box.top >= 0 && box.bottom <= innerHeight"), "below a text of several screens"
    browser.press("g")
    assert browser.run("return document.querySelector('.guideline details').open") is False
    assert place.queue.answers() == []


@pytest.mark.parametrize("keys", ["", "nyn"])
def test_questions_and_verdict_are_accessible_and_fit_at_every_width(
    place: Place, browser: Browser, shots: Path, keys: str
) -> None:
    place.push([item(1, first=TEXT, p=0.8, critique=TEXT[:107])])
    come_in(browser, place)
    for key in keys:
        press(browser, key)
    address = browser.run("return location.href")
    for width in (375, 700, 1280):
        browser.open(address, width)
        assert browser.run("return document.documentElement.scrollWidth") <= width
        assert browser.accessibility_faults() == []
        browser.screenshot(shots / f"questions-{keys or 'first'}-{width}.png")
    assert browser.complaints() == []
