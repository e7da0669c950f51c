"""The report of a weak-to-strong run, opened in a real browser."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from superalign.config.schema import Config
from superalign.report import plots
from superalign.report.page import write
from superalign.report.weak_to_strong import finding
from superalign.stats.estimate import Estimate
from superalign.store.run_writer import Plan, RunWriter
from tests import browser as chromium

in_a_browser = pytest.mark.skipif(not chromium.AT_HAND, reason="needs chromium and chromedriver, which are not here")

STAGES = ("load", "train", "score", "report")
METHODS = ("naive", "confidence", "product", "filter", "ensemble", "bootstrap")
STUDENTS = {
    "digits": (0.861, 0.914, 0.895, 0.902, 0.871, 0.884),
    "safety": (0.812, 0.846, 0.829, 0.807, 0.821, 0.818),
    "nli": (0.637, 0.611, 0.634, 0.641, 0.639, 0.630),
}
ENDS = {"digits": (0.836, 0.991), "safety": (0.781, 0.902), "nli": (0.638, 0.644)}
MODELS = {"digits": ("pool:4x4", "centroids:300"), "safety": ("words", "tiny:2500"), "nli": ("words", "tiny:2500")}
STRUCTURES = {"random": 0.952, "confident": 0.903, "unconfident": 0.941, "longest": 0.926, "imitable": 0.842}
LONG = "a_method_with_a_very_long_name_indeed"


def estimate(value: float, half: float = 0.012, n: int = 4970) -> dict[str, Any]:
    return {"value": value, "low": value - half, "high": value + half, "n": n}


def share(value: float, half: float = 0.012, n: int = 4970) -> dict[str, Any]:
    return {"value": value, "low": max(0.0, value - half), "high": min(1.0, value + half), "n": n}


def cell(
    task: str,
    method: str,
    student: float,
    *,
    supervisor: str = "weak",
    strong: str = "",
    ceiling: float = 0.0,
    **own: Any,
) -> dict[str, Any]:
    """One comparison with figures of the size that such runs give."""
    weak, top = ENDS[task]
    top = ceiling or top
    pgr: dict[str, Any] = estimate((student - weak) / (top - weak), 0.014 / (top - weak))
    if top - weak < 0.02:
        reason = "no gap: PGR undefined (ceiling - weak = 0.0060, SE 0.0051)"
        pgr = {"value": None, "low": None, "high": None, "n": 4970, "reason": reason}
    known = pgr["value"] is not None
    steps = [index / 10 for index in range(1, 11)]
    rise = min(0.95, 0.44 + 0.3 * (top - student) / (top - weak))
    return {
        "task": task, "supervisor": supervisor, "weak": MODELS[task][0], "strong": strong or MODELS[task][1],
        "method": method, "labels": "", "oracle": False, "seeds": 10,
        "weak_performance": share(weak), "weak_to_strong": share(student), "strong_ceiling": share(top, 0.004),
        "pgr": pgr, "pgr_fieller": [pgr["low"] - 0.01, pgr["high"] + 0.02] if known else None,
        "pgr_auroc": estimate(pgr["value"] + 0.05, 0.09) if known and task == "safety" else None,
        "gain": estimate(student - weak, 0.01),
        "agreement": {"all": share(0.9), "supervisor_right": share(0.97), "supervisor_wrong": share(rise, 0.03, 810)},
        "ece": share(0.05 + 0.1 * (top - student)),
        "deception": {"score": share(0.71, 0.06, 312), "base_rate": 0.155},
        "forecast": {"misfit": 0.02 + (student - 0.6) ** 2 / 3, "simulatability": 0.9 - student / 4,
                     "overlap_density": 0.34 if task == "digits" else 0.52},
        "saliency": {"before": share(0.631), "after": share(0.712, 0.02)} if task == "safety" else None,
        "curve": {"progress": steps, "accuracy": [student - 0.1 + 0.1 * x**0.3 for x in steps],
                  "right": [0.9 + 0.07 * x for x in steps], "wrong": [0.2 + (rise - 0.2) * x**0.5 for x in steps]},
        "attacked": None, "grades": None, "notes": [], "seconds": 4.2, **own,
    }  # fmt: skip


def comparisons() -> list[dict[str, Any]]:
    """Three tasks of six methods, an oracle, error structures, several students, an attack, grades, notes."""
    cells = [
        cell(task, method, value)
        for task, values in STUDENTS.items()
        for method, value in zip(METHODS, values, strict=True)
    ]
    cells = [cells[1], cells[0], *cells[2:]]
    cells[0]["notes"] = [f"split {n}: early stop after 12 epochs" for n in (0, 3, 4)]
    cells[2]["notes"] = ["collapse guard: the ramp was stopped at 0.41"]
    cells.insert(6, cell("digits", "oracle_stop", 0.921, oracle=True))
    cells += [
        cell("digits", method, value - 0.01 * at, supervisor=structure)
        for structure, value in STRUCTURES.items()
        for at, method in enumerate(("confidence", "naive"))
    ]
    cells += [
        cell("digits", method, value, strong=strong, ceiling=top)
        for strong, top, values in (("centroids:100", 0.97, (0.905, 0.864)), ("centroids:30", 0.9, (0.83, 0.871)))
        for method, value in zip(("confidence", "naive"), values, strict=True)
    ]
    for each in cells:
        if each["task"] == "safety":
            under = ("weak_performance", "weak_to_strong", "strong_ceiling")
            each["attacked"] = {name: share(each[name]["value"] - 0.12) for name in under} | {
                "pgr": estimate(each["pgr"]["value"] - 0.1, 0.15)
            }
            grades = {"weak": share(0.7), "weak_to_strong": share(0.8), "strong_ceiling": share(0.9)}
            each["grades"] = {"harmful_refused": grades} if each["method"] == "naive" else None
    return cells


def write_fixture(root: Path, cells: list[dict[str, Any]], splits: int = 10, stop_after: int | None = None) -> Path:
    """Write the run and return its folder; with `stop_after` it stays under way."""
    settings = {"recipe": "weak_to_strong", "seed": 1, "w2s": {"seeds": splits}, "task": ("digits", "safety", "nli")}
    config = Config.model_validate(settings).model_dump()
    plan = Plan(splits - 1, STAGES, "split")
    with RunWriter.create_or_resume(config, root, "weak-to-strong-1", Console(file=io.StringIO()), plan) as run:
        for number in range(splits if stop_after is None else stop_after):
            run.begin_round(number)
            run._clock.take = lambda: {"load": 0.0, "train": 31.0, "score": 2.4, "report": 0.0, "other": 0.3, "total": 33.7}  # type: ignore[method-assign]  # fmt: skip  # noqa: E501
            run.commit_round(number, {"metrics": {}, "counts": {}, "results": cells})
        if stop_after is None:
            first = cells[0]
            names = {
                "pgr": "pgr", "weak": "weak_performance", "strong_ceiling": "strong_ceiling",
                "weak_to_strong": "weak_to_strong",
            }  # fmt: skip
            run.finish(
                {name: first[key] for name, key in names.items()},
                headline={key: first[key] for key in ("task", "method", "weak", "strong", "supervisor")},
                results=cells,
                simulated_expert=False,
                judge="the tasks' own ground truth, opened by the scorer alone",
                versions={"superalign": "0.1.0", "torch": "2.13.0"},
            )
        return run.folder


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


numbers = st.floats(-20, 20)
estimates = st.tuples(numbers, numbers, numbers).map(sorted).map(lambda ends: Estimate(ends[1], ends[0], ends[2], 9))
marks = st.lists(st.one_of(st.none(), estimates), min_size=1, max_size=8)


@given(marks, st.sampled_from([None, 0.3]), st.sampled_from([None, 1]))
def test_any_rows_make_a_well_formed_drawing(
    found: list[Estimate | None], start: float | None, digits: int | None
) -> None:
    rows = [plots.Mark(f"row <{index}>", each, "no gap") for index, each in enumerate(found)]
    lines = [plots.ReferenceLine("supervisor", 0.0), plots.ReferenceLine("ceiling", 1.0, dashed=True)]
    root = ElementTree.fromstring(plots.by_row(rows, lines, 344, start, (-1.0, 2.0), digits))
    hits = [node for node in root.iter() if node.get("class") == "hit"]
    assert len(hits) == sum(each is not None for each in found)


@given(st.lists(st.tuples(st.floats(0, 1), estimates), min_size=1, max_size=9))
def test_any_points_make_a_well_formed_drawing(drawn: list[tuple[float, Estimate]]) -> None:
    points = [plots.Point("a & b", x, each) for x, each in drawn]
    ElementTree.fromstring(plots.scatter([("one", points), ("two", points)], 344, 230, "gap"))


@pytest.mark.parametrize(
    ("low", "high", "tips"), [(-3.0, 0.5, ["186"]), (0.0, 5.0, ["12"]), (-3.0, 5.0, ["186", "12"]), (0.0, 1.0, [])]
)
def test_a_point_whose_interval_goes_on_beyond_the_axis_has_an_arrow_there(
    low: float, high: float, tips: list[str]
) -> None:
    near, far = (
        plots.Point("near", 0.1, Estimate(0.5, -1.0, 2.0, 9)),
        plots.Point("far", 0.2, Estimate(0.4, low, high, 9)),
    )
    drawing = plots.scatter([("naive", [near, far])], 344, 230, "gap", span=(-1.0, 2.0))
    assert re.findall(r'class="arrow" d="M[^L]*L[\d.]+,(\d+)\.0 ', drawing) == tips


def test_every_method_is_shown_by_gap_and_named(tmp_path: Path) -> None:
    methods = METHODS[:4]
    cells = [
        cell("digits", method, 0.88, strong=strong, ceiling=top)
        for strong, top in (("centroids:300", 0.99), ("centroids:30", 0.93))
        for method in methods
    ]
    text = write(write_fixture(tmp_path, cells)).read_text()
    shown = re.findall(r"<b>digits, by gap</b>.*?</figure>", text, re.DOTALL)
    assert [re.findall(r'class="label"[^>]*>(\w+) ', each) for each in shown] == [list(methods[:3]), [methods[3]]]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_any_training_makes_a_well_formed_drawing(values: list[float]) -> None:
    progress = [(index + 1) / len(values) for index in range(len(values))]
    ElementTree.fromstring(plots.over_training([plots.Curve("right", progress, values)], 344, 200))
