"""The report of a weak-to-strong run, opened in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from superalign.report.page import write
from superalign.report.weak_to_strong import finding
from tests import browser as chromium
from tests.report.weak_to_strong_rows import (
    LONG,
    MODELS,
    cell,
    comparisons,
    write_fixture,
)

in_a_browser = pytest.mark.skipif(not chromium.AT_HAND, reason="needs chromium and chromedriver, which are not here")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a complete run."""
    return write(write_fixture(tmp_path_factory.mktemp("runs"), comparisons()))


@pytest.fixture(scope="module")
def browser() -> Iterator[chromium.Browser]:
    """One browser for all tests."""
    with chromium.browser() as opened:
        yield opened


@in_a_browser
@pytest.mark.parametrize("width", [320, 390, 820, 1280])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_overflows_sideways(page: Path, browser: chromium.Browser, width: int, dark: bool) -> None:
    browser.open(page, width, dark=dark)
    browser.run("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert browser.run("return document.documentElement.scrollWidth") <= width


def hard_cases() -> list[dict[str, Any]]:
    """Long names, wide and one-sided intervals, a ceiling close to the supervisor, one below it."""
    below = "the strong model is worse than the weak one: PGR undefined (ceiling - weak = -0.0310, SE 0.0040)"
    none = {"value": None, "low": None, "high": None, "n": 90, "reason": below}
    wide = {"value": 0.4, "low": -6.0, "high": 9.0, "n": 90}
    return [
        cell("digits", LONG, 0.838, ceiling=0.858, pgr=wide),
        cell("digits", "naive", 0.2, ceiling=0.858, pgr=none, labels="calibrate+filter:0.5"),
        cell("nli", "naive", 0.64, curve={"progress": [0.5, 1.0], "accuracy": [0.0, 1.0], "right": [], "wrong": []}),
    ]


@in_a_browser
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("cells", [comparisons(), hard_cases()], ids=["usual", "hard"])
def test_every_word_of_a_chart_lies_inside_its_drawing_and_apart_from_others(
    tmp_path: Path, browser: chromium.Browser, cells: list[dict[str, Any]], width: int
) -> None:
    browser.open(write(write_fixture(tmp_path, cells)), width)
    faults = browser.run("""
        const faults = [];
        for (const svg of document.querySelectorAll("svg")) {
          const frame = svg.getBoundingClientRect();
          const texts = [...svg.querySelectorAll("text")].map(t => [t.textContent, t.getBoundingClientRect()]);
          texts.forEach(([word, a], i) => {
            if (a.left < frame.left - 1 || a.right > frame.right + 1) faults.push("outside: " + word);
            texts.slice(i + 1).forEach(([other, b]) => {
              const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
              const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
              if (wide > 1 && high > 4) faults.push(word + " over " + other);
            });
          });
        }
        return faults;
    """)
    assert faults == []


@in_a_browser
def test_the_page_asks_for_nothing_beside_itself(page: Path, browser: chromium.Browser) -> None:
    browser.open(page, 1280)
    assert browser.run("return performance.getEntriesByType('resource').map(each => each.name)") == []


def test_the_page_is_well_formed(page: Path) -> None:
    class Balance(HTMLParser):
        open_tags: list[str]

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag not in {"meta", "link", "br"}:
                self.open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.open_tags.pop() == tag

        def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            pass

    checker = Balance()
    checker.open_tags = []
    checker.feed(page.read_text())
    assert checker.open_tags == []


def test_the_page_tells_the_finding_the_gaps_the_oracles_and_the_notes(page: Path) -> None:
    text = page.read_text().replace("\N{NARROW NO-BREAK SPACE}", " ")
    for words in (
        "On digits, a supervisor of 83.6 % trains a student of 91.4 % (method confidence)",
        "50 % of the gap recovered (41 to 59 %)",
        "no gap: PGR undefined",
        "ceiling \N{MINUS SIGN} weak = 0.0060, SE 0.0051",
        '<span class="oracle">oracle</span>',
        "errors random",
        "Under attack",
        "harmful refused",
        "Rank correlation with the gain",
        "by chance 15.5 %",
        "71.2 %<small><span>69.2 to 73.2 %</span>",
        "splits 0, 3, 4",
        "collapse guard: the ramp was stopped at 0.41",
        "n 4970",
        "seeds: 10",
    ):
        assert words in text, words


def test_a_headline_without_a_gap_says_so_in_place_of_a_figure(tmp_path: Path) -> None:
    text = write(write_fixture(tmp_path, [cell("nli", "naive", 0.637)])).read_text()
    assert '<span class="none">no gap: PGR undefined</span>' in text
    assert "brought to 64.4\N{NARROW NO-BREAK SPACE}%: no gap: PGR undefined." in text


def test_a_run_under_way_shows_what_it_has_and_an_empty_one_has_a_page_too(tmp_path: Path) -> None:
    under_way = write(write_fixture(tmp_path / "a", comparisons(), stop_after=3)).read_text()
    assert "split 3 of 10, under way" in under_way and "Results of safety" in under_way and ">train<" in under_way
    empty = write(write_fixture(tmp_path / "b", [], stop_after=0)).read_text()
    assert "nothing to report" in empty and "not yet measured" in empty


def test_figures_appear_only_where_there_is_something_to_compare(tmp_path: Path) -> None:
    everything = write(write_fixture(tmp_path / "a", comparisons())).read_text()
    one = write(write_fixture(tmp_path / "b", [cell("digits", "naive", 0.861, curve=None)])).read_text()
    for title in (
        "by gap",
        "errors look like",
        "Imitation over training",
        "Forecast and realised gain",
        "Under attack",
    ):
        assert title in everything and title not in one
    assert "How far the students come" in one


def forecast_notes(page: Path) -> dict[str, str]:
    part = page.read_text().partition("Forecast and realised gain</h2>")[2].partition("</section>")[0]
    return dict(re.findall(r"<figcaption><b>(.*?)</b> (.*?)</figcaption>", part))


def test_a_forecast_of_a_study_is_one_point_however_many_methods_were_tried(tmp_path: Path) -> None:
    cells = [
        each for each in comparisons() if each["supervisor"] == "weak" and each["strong"] == MODELS[each["task"]][1]
    ]
    assert len(cells) == 19
    few = write(write_fixture(tmp_path / "a", cells))
    for note in forecast_notes(few).values():
        assert note.endswith("No rank correlation: 3 of the 4 studies that it takes.")
    assert "Rank correlation with" not in few.read_text()
    notes = forecast_notes(write(write_fixture(tmp_path / "b", comparisons())))
    assert notes["Simulatability of errors"].endswith("n 10 studies, a point each.")
    assert notes["Overlap density"].endswith("n 10 studies, a point each.")


def test_oracles_tell_nothing_about_a_forecast(tmp_path: Path) -> None:
    told = forecast_notes(write(write_fixture(tmp_path / "a", comparisons())))["Misfit"]
    without = [each for each in comparisons() if not each["oracle"]]
    assert told == forecast_notes(write(write_fixture(tmp_path / "b", without)))["Misfit"]
    assert told.endswith(f"n 10 studies, {len(without)} comparisons.")


def test_markup_in_names_and_notes_is_text(tmp_path: Path) -> None:
    shady = cell("digits", "<b>naive</b>", 0.861, notes=["<i>note</i>"])
    text = write(write_fixture(tmp_path, [shady])).read_text()
    assert "<b>naive</b>" not in text and "<i>note</i>" not in text and "&lt;i&gt;note&lt;/i&gt;" in text


def test_the_finding_counts_the_comparisons_whose_interval_lies_above_zero() -> None:
    cells = [cell("digits", "confidence", 0.914), cell("digits", "naive", 0.84), cell("nli", "naive", 0.64)]
    assert "in 1 of 3 comparisons the interval lies above 0" in finding(cells, cells[0])
