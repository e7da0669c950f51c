"""The experts' section of the report: figures with intervals, and the reason where there is none."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from superalign.experts.queue import ExpertQueue
from superalign.experts.simulated import answer_all
from superalign.records import Judgement, Response
from superalign.report.masking import without_secrets
from superalign.report.page import write
from superalign.store.tables import write_records
from tests import browser as chromium
from tests.experts.test_queue import item, pair

sys.path.insert(0, str(Path(__file__).parent))
from fixture_run import write_fixture

in_a_browser = pytest.mark.skipif(not chromium.AT_HAND, reason="needs chromium and chromedriver, which are not here")
PEOPLE: dict[str, Any] = {"source": "queue", "hourly_rate": 40.0}


@pytest.fixture(scope="module")
def browser() -> Iterator[chromium.Browser]:
    with chromium.browser() as opened:
        yield opened


def asked(run: Path) -> ExpertQueue:
    """A queue of 24 items in the run's folder: doubles, blind ones, gold items."""
    queue = ExpertQueue(run / "experts.sqlite")
    items = [item(n, p=0.8, double=n % 4 == 0, blind=n % 2 == 0) for n in range(20)]
    gold_items = [pair(n) for n in range(20, 24)]
    items += [
        type(t)(**{**t.to_row(), "gold": 1.0, "blind": True, "p": 0.3 if t.id == "item023" else 0.7})
        for t in gold_items
    ]
    queue.push(items, 1, 48)
    return queue


def test_labels_that_are_replayed_are_said_to_be_of_their_file_and_tell_nothing_of_the_runs_own_answers(
    tmp_path: Path,
) -> None:
    config = {"expert": {"curated": "judged.jsonl"}, "data": {"seeds": "requests.jsonl"}}
    run = write_fixture(tmp_path, **config)
    queue = asked(run)
    answer_all(queue, lambda one: 0.9, 0.0, seed=0)
    queue.close()
    text = unescape(write(run).read_text())
    assert "a simulated expert who replays labels of judged.jsonl, with an error rate" in text
    assert "Curated labels of judged.jsonl teach beside them, without cost." in text
    assert "the labels are of answers in judged.jsonl, not of the run's own" in text


def answered_by_people(run: Path) -> None:
    with_doubts = asked(run)
    for who in ("maria.gonzales@example.org", "bob"):
        count = 0
        while leased := with_doubts.claim(who, 60):
            count += 1
            if who == "bob" and count == 1:
                with_doubts.flag(leased.token, "unclear")
                continue
            value = leased.item.as_shown(1.0) if count % 5 else leased.item.as_shown(0.0)
            if leased.item.blind:
                with_doubts.answer_alone(leased.token, value)
            with_doubts.submit(leased.token, value, seconds=8.0 + count)
    with_doubts.close()


def judged(run: Path, round: int = 1, first: int = 0) -> None:
    """A round's verdicts: on its 20 items asked and on 20 more, and as many on twins, which nobody could be asked."""
    ids = [f"{kind}{n:03d}" for kind in ("item", "other") for n in range(first, first + 20)]
    rows = [
        Judgement(f"{twin}{i}", "point", f"q-{i}", f"{twin}r", "", "c", 1.4, 0.8, 0.0, False, False, 1)
        for twin in ("", "twin-")
        for i in ids
    ]
    said = [Response(name, "q", "the same words", (1,), (2,), (0.0,), "sample", 0) for name in ("r", "twin-r")]
    folder = run / "rounds" / f"{round:04d}"
    write_records(folder, "judgements", Judgement, rows)
    write_records(folder, "responses", Response, said)


def section(page: Path) -> str:
    """The words of the section, spaces made one."""
    found = re.search(r'<section aria-labelledby="experts">.*?</section>', page.read_text(), re.DOTALL)
    assert found
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", found[0])).split())


def test_labels_of_people_are_shown_with_agreement_errors_oversight_time_and_cost(tmp_path: Path) -> None:
    run = write_fixture(tmp_path, expert=PEOPLE)
    answered_by_people(run)
    judged(run)
    words = section(write(run))
    for told in (
        "labels on 24 items.", "Lane: active", "Lane: gold 4", "By bob", "Flagged 1", "Expert with expert",
        "Expert with critic, same items", "Krippendorff's alpha", "Cohen's kappa, bob and maria.gonzales@example.org",
        "Error of bob", "Right with the critique", "Oversight gain", "Time for a label, median", "Cost",
    ):  # fmt: skip
        assert told in words, told
    assert "not measured" not in words
    assert "simulated" not in words.lower()
    assert re.search(r"Critic wrong, of all it judged \d+ % \d+ to \d+ %, n 40 by 20 answered items", words)
    assert re.search(r"Oversight gain \S?\d+ % \S?\d+ to \d+ %, n 4", words)


def test_an_item_that_waits_was_drawn_so_its_round_says_nothing_of_the_critic_yet(tmp_path: Path) -> None:
    run = write_fixture(tmp_path, expert=PEOPLE)
    queue = asked(run)
    judged(run)
    told = "Critic wrong, of all it judged"
    queue.record([(f"item{n:03d}", "ann", 1.0) for n in range(1, 20)])
    assert f"{told} not measured: 1 of 20 drawn items are unanswered" in section(write(run))
    queue.push([item(n, 2, p=0.8) for n in range(30, 50)], 2, 48)
    queue.record([(f"item{n:03d}", "ann", 1.0) for n in range(30, 50)])
    judged(run, 2, first=30)
    left_out = r"n 40 by 20 answered items; 1 of 2 rounds left out, not all answered"
    assert re.search(rf"{told} 0 % \S+ to \S+ %, {left_out}", section(write(run)))
    queue.record([("item000", "ann", 1.0)])
    queue.close()
    assert "n 80 by 40 answered items Oversight" in section(write(run))


def test_labels_of_a_program_are_called_what_they_are(tmp_path: Path) -> None:
    run = write_fixture(tmp_path)
    queue = asked(run)
    answer_all(queue, lambda one: 0.9, 0.05, seed=0)
    queue.close()
    words = section(write(run))
    assert "All are of a simulated expert with an error rate of 5" in words
    assert "Time for a label not measured: a program answered" in words
    assert "Oversight gain not measured: a program reads no critique" in words


def test_what_is_not_measured_says_why(tmp_path: Path) -> None:
    run = write_fixture(tmp_path / "a", expert={"source": "queue"})
    assert section(write(run)) == "Experts Not measured: no item was escalated."
    queue = asked(run)
    assert section(write(run)) == "Experts Not measured: 24 items wait, and none is answered yet."
    queue.record([("item001", "ann", 1.0)])
    words = section(write(run))
    queue.close()
    for why in (
        "Expert with expert not measured: no item has two answers", "Krippendorff's alpha not measured: no item",
        "Error of ann not measured: no gold item and no double is answered", "no blind item of known truth is answered",
        "Critic wrong, of all it judged not measured: no round that is done",
        "Cost not measured: no answer tells how long it took",
    ):  # fmt: skip
        assert why in words, why
    run = write_fixture(tmp_path / "b", expert={"budget": 0})
    assert section(write(run)) == "Experts Not measured: expert.budget=0 asks nobody."


def test_a_queue_that_cannot_be_read_does_not_fail_the_report(tmp_path: Path) -> None:
    run = write_fixture(tmp_path)
    (run / "experts.sqlite").write_bytes(b"no database at all, but long enough to be taken for one" * 40)
    assert "Not measured: cannot open the expert queue" in section(write(run))


def test_a_biased_choice_of_items_is_said(tmp_path: Path) -> None:
    run = write_fixture(tmp_path, expert={"policy": "uncertainty"})
    queue = asked(run)
    queue.record([("item001", "ann", 1.0)])
    queue.close()
    assert "these figures hold of such items, not of all" in section(write(run))


def test_passwords_and_webhooks_are_not_in_the_report(tmp_path: Path) -> None:
    store, hook = "postgresql+psycopg://ann:s3cret@127.0.0.1:9/db", "https://hooks.example/T0/s3cret"
    tell = "curl --header 'Authorization: Bearer s3cret' --data 'items wait, and this is a line that YAML folds' x.test"
    run = write_fixture(tmp_path, expert={**PEOPLE, "store": store, "notify_webhook": hook, "notify_command": tell})
    page = write(run).read_text()
    assert "s3cret" not in page
    assert "postgresql+psycopg://ann:***@127.0.0.1:9/db" in page
    assert "expert.notify_webhook=***" in page and "expert.notify_command=***" in page
    assert without_secrets({"run": {"root": "runs"}, "expert": {"notify_webhook": "https://x/y", "budget": 8}}) == {
        "run": {"root": "runs"},
        "expert": {"notify_webhook": "***", "budget": 8},
    }
    assert without_secrets({"notify_webhook": None, "via": ("x://a/b?password=s3cret&x=1",)}) == {
        "notify_webhook": None,
        "via": ["x://a/b?password=***&x=1"],
    }
    assert "Not measured: cannot open the expert queue" in section(run / "report.html")


@in_a_browser
@pytest.mark.parametrize("width", [320, 390, 820, 1280])
def test_nothing_of_it_overflows_or_is_cut(tmp_path: Path, browser: chromium.Browser, width: int) -> None:
    run = write_fixture(tmp_path, stop_after=1, expert=PEOPLE)
    answered_by_people(run)
    judged(run)
    browser.open(write(run), width)
    assert browser.run("return document.documentElement.scrollWidth") <= width
    names = "filter(name => name.clientWidth < 0.4 * name.closest('table').clientWidth).map(name => name.textContent)"
    assert browser.run(f"return [...document.querySelectorAll('.figures th')].{names}") == []
    cut = "filter(cell => cell.scrollWidth > cell.clientWidth + 1).map(cell => cell.textContent)"
    assert browser.run(f"return [...document.querySelectorAll('.figures td, .figures th')].{cut}") == []
