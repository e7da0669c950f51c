"""The report, opened in a real browser."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import pytest

from superalign.errors import UserError
from superalign.report.page import differences, write
from tests import browser as chromium

sys.path.insert(0, str(Path(__file__).parent))
from fixture_run import HARMFUL_MARK, write_fixture

in_a_browser = pytest.mark.skipif(not chromium.AT_HAND, reason="needs chromium and chromedriver, which are not here")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a complete run."""
    return write(write_fixture(tmp_path_factory.mktemp("runs")))


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


@in_a_browser
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("last_round", [0, 1, 6])
def test_every_word_of_a_chart_lies_inside_its_drawing_and_apart_from_others(
    tmp_path: Path, browser: chromium.Browser, width: int, last_round: int
) -> None:
    browser.open(write(write_fixture(tmp_path, stop_after=last_round)), width)
    faults = browser.run("""
        const faults = [];
        for (const svg of document.querySelectorAll("svg")) {
          const frame = svg.getBoundingClientRect();
          if (!frame.width) continue;
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
def test_harmful_text_shows_only_after_a_click_and_hides_again(page: Path, browser: chromium.Browser) -> None:
    browser.open(page, 390, 844)
    shown = "return document.body.innerText"
    count = f"{shown}.split('{HARMFUL_MARK}').length - 1"
    assert browser.run(count) == 0
    browser.click("button[data-sealed]")
    assert browser.run(count) == 2
    assert f"{HARMFUL_MARK} <b>question</b>" in browser.run(shown), "markup in a sample is text, not markup"
    browser.click("button[data-sealed]")
    assert browser.run(count) == 0


@in_a_browser
def test_the_page_asks_for_nothing_beside_itself(page: Path, browser: chromium.Browser) -> None:
    browser.open(page, 1280)
    assert browser.run("return performance.getEntriesByType('resource').map(each => each.name)") == []


def test_the_file_holds_no_sample_text_in_clear_and_no_address(page: Path) -> None:
    text = page.read_text()
    assert HARMFUL_MARK not in text
    assert not re.search(r"https?://", text)


def test_the_page_is_well_formed_and_names_judge_expert_and_sample_sizes(page: Path) -> None:
    class Balance(HTMLParser):
        open_tags: list[str]

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag not in {"meta", "link", "br"}:
                self.open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.open_tags.pop() == tag

        def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            pass

    text = page.read_text()
    checker = Balance()
    checker.open_tags = []
    checker.feed(text)
    assert checker.open_tags == []
    for words in ("Simulated expert.", "the testbed&#39;s oracle", "n 288", "fell from 84", "rounds: 6"):
        assert words in text, words


def test_charts_say_what_was_measured_on_what(page: Path) -> None:
    text = page.read_text()
    for words in (
        "Share of benign look-alikes that were refused.",
        "Share of verdicts that agree with the judge&#39;s verdicts on the testbed&#39;s probes.",
        "Expected, 15 bins, against the judge&#39;s verdicts on the testbed&#39;s probes.",
    ):
        assert words in text, words
    assert "{on}" not in text


def test_a_run_under_way_and_an_empty_one_have_a_page_too(tmp_path: Path) -> None:
    under_way = write(write_fixture(tmp_path / "a", stop_after=2)).read_text()
    assert "round 2 of 6, under way" in under_way
    empty = write(write_fixture(tmp_path / "b", stop_after=-1)).read_text()
    assert "nothing to report" in empty


def test_the_banner_names_the_file_whose_labels_were_replayed(tmp_path: Path) -> None:
    elsewhere = {"expert": {"curated": "judged.jsonl"}, "data": {"seeds": "requests.jsonl"}}
    text = write(write_fixture(tmp_path / "a", stop_after=0, **elsewhere)).read_text()
    assert "labels of judged.jsonl that were held back were replayed in the experts' place" in text
    assert "the testbed&#39;s oracle answered" not in text
    assert "the testbed&#39;s oracle answered" in write(write_fixture(tmp_path / "b", stop_after=0)).read_text()


def test_the_banner_is_absent_when_people_label(tmp_path: Path) -> None:
    page = write(write_fixture(tmp_path, stop_after=0, expert={"source": "queue"}))
    assert "Simulated expert" not in page.read_text()


def test_the_settings_that_differ_from_the_defaults_are_listed(tmp_path: Path) -> None:
    from superalign.config.schema import Config

    config = Config.model_validate({"seed": 3, "critic": {"verdicts": "shuffled"}}).model_dump(mode="json")
    assert differences(config) == ["seed=3", "critic.verdicts=shuffled"]


def test_a_folder_without_a_run_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no run folder"):
        write(tmp_path)


def test_template_style_and_script_lie_inside_the_package() -> None:
    files = resources.files("superalign.report")
    assert all((files / name).is_file() for name in ("page.html.j2", "page.css", "page.js"))
