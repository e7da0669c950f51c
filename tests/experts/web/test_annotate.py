"""The annotation page over plain HTTP, without JavaScript: what is shown when, and what an answer does."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from superalign.experts.items import Item
from tests.experts.test_queue import Clock, item, pair
from tests.experts.web.conftest import Place
from tests.experts.web.visitor import Visitor


def actions(place: Place, who: str) -> list[str]:
    return [entry.action for entry in place.queue.audit() if entry.actor == who]


def values(place: Place) -> list[float]:
    return [label.value for label in place.queue.labels()]


def test_an_annotator_answers_item_after_item_until_none_is_left(place: Place) -> None:
    place.push([item(i) for i in range(3)], budget=5)
    ann = place.visitor("ann")
    page = ann.get("/")
    for answer in ("accept", "refuse", "tie"):
        page = ann.send(page, "/answer", answer=answer)
    assert sorted(values(place)) == [0.0, 0.5, 1.0]
    assert page.item is None and "Nothing to answer now" in page.text
    assert "<b>3</b> answered by you" in page.text and "<b>2</b> of 5 labels left" in page.text


def test_the_first_button_means_what_stands_first_on_the_page(place: Place) -> None:
    items = [pair(i) for i in range(8)]
    assert {i.swapped for i in items} == {True, False}
    place.push(items)
    ann = place.visitor("ann")
    page = ann.get("/")
    for _ in items:
        shown = next(i for i in items if i.id == page.item)
        assert page.words[1:3] == list(shown.shown)
        page = ann.send(page, "/answer", answer="a")
    assert {a.value for a in place.queue.answers() if a.item.swapped} == {0.0}
    assert {a.value for a in place.queue.answers() if not a.item.swapped} == {1.0}


@pytest.mark.parametrize("made", [item, pair])
def test_on_a_blind_item_nothing_of_the_critic_is_in_the_page_before_an_answer(
    place: Place, made: Callable[[int], Item]
) -> None:
    blind = Item.from_row(made(1).to_row() | {"blind": True, "p": 0.87, "critique": "CRITIC'S WORDS"})
    place.push([blind])
    ann = place.visitor("ann")
    page = ann.get("/")
    assert "CRITIC" not in page.text and "sure" not in page.text and "/answer" not in page.actions
    before, after = ("refuse", "accept") if blind.kind == "point" else ("b", "a")
    page = ann.send(page, "/alone", answer=before)
    assert "CRITIC&#39;S WORDS" in page.text and "87" in page.text
    assert "Confirm it, or change it" in page.text
    assert ann.get("/").actions >= {"/answer"}  # a reload asks for nothing twice
    ann.send(page, "/answer", answer=after)
    (answer,) = place.queue.answers()
    assert blind.as_shown(answer.alone or 0.0) == 0.0 and blind.as_shown(answer.value) == 1.0


def test_a_blind_item_is_not_answered_before_it_was_answered_alone_nor_alone_twice(place: Place) -> None:
    place.push([item(1, blind=True)])
    ann = place.visitor("ann")
    page = ann.get("/")
    assert "without the critic" in ann.post("/answer", page.form("/alone") | {"answer": "accept"}).note
    assert values(place) == []
    ann.send(page, "/alone", answer="accept")
    assert "answered differently before" in ann.send(page, "/alone", answer="refuse").note
    assert place.queue.held("ann").alone == 1.0  # type: ignore[union-attr]


def test_on_other_items_the_critique_can_be_folded(place: Place) -> None:
    place.push([item(1, p=0.2)])
    page = place.visitor("ann").get("/")
    assert '<details class="critic" open>' in page.text
    assert "Not acceptable (80" in page.text and "looks fine" in page.text


def test_the_critic_of_a_pair_is_told_in_the_order_of_the_page(place: Place) -> None:
    items = [Item.from_row(pair(i).to_row() | {"p": 0.9}) for i in range(4)]
    place.push(items)
    ann = place.visitor("ann")
    page = ann.get("/")
    for _ in items:
        swapped = next(i for i in items if i.id == page.item).swapped
        assert f"Answer {1 + swapped} is better (90" in page.text
        assert f"About answer {1 + swapped}:" in page.text  # a critique is of the first response
        page = ann.send(page, "/answer", answer="tie")


def test_harmful_text_is_not_in_the_page_until_revealed_and_that_is_logged(place: Place) -> None:
    place.push([item(1, harmful=True, query="SECRET-Q", first="SECRET-A", critique="SECRET-C"), item(2, pi=0.1)])
    ann = place.visitor("ann")
    page = ann.get("/")
    assert "SECRET" not in page.text and "[redacted: 1 word]" in page.text
    assert "/answer" not in page.actions
    assert "reveal" not in actions(place, "ann")
    page = ann.send(page, "/reveal")
    assert all(f"SECRET-{part}" in page.text for part in "QAC")
    assert actions(place, "ann").count("reveal") == 1
    assert "SECRET" in ann.get("/").text
    assert "question 2" in ann.send(page, "/answer", answer="refuse").text


def test_a_text_revealed_once_is_covered_for_others_and_for_the_next_item(place: Place) -> None:
    place.push([item(i, harmful=True, votes=2, query=f"SECRET-{i}") for i in range(2)])
    ann, ben = place.visitor("ann"), place.visitor("ben")
    page = ann.send(ann.get("/"), "/reveal")
    assert "SECRET" in page.text and "SECRET" not in ben.get("/").text
    assert "SECRET" not in ann.send(page, "/answer", answer="refuse").text


def test_skip_and_flag_give_the_item_back_for_good(place: Place) -> None:
    place.push([item(i, pi=0.9 - i / 10) for i in range(3)])
    ann = place.visitor("ann")
    page = ann.send(ann.get("/"), "/skip")
    assert page.item == "item001" and "Skipped" in page.note
    page = ann.send(page, "/flag", reason="two languages")
    assert page.item == "item002" and "Flagged" in page.note
    assert [(f.item_id, f.annotator, f.reason) for f in place.queue.flags()] == [("item001", "ann", "two languages")]
    assert place.visitor("ben").get("/").item == "item000"


def test_undo_takes_back_one_answer_and_asks_it_again(place: Place) -> None:
    place.push([item(i, pi=0.9 - i / 10) for i in range(3)])
    ann = place.visitor("ann")
    page = ann.get("/")
    assert "/undo" not in page.actions
    page = ann.send(page, "/answer", answer="accept")
    taken = page.form("/undo")
    page = ann.post("/undo", taken)
    assert page.item == "item000" and values(place) == []
    assert "nothing to undo" in ann.post("/undo", taken).note  # the same click twice takes back no further one


def test_an_answer_taken_back_and_sent_again_is_not_said_to_be_kept(place: Place) -> None:
    place.push([item(i, pi=0.9 - i / 10) for i in range(2)])
    ann = place.visitor("ann")
    before = ann.get("/")
    ann.send(ann.send(before, "/answer", answer="accept"), "/undo")
    page = ann.send(before, "/answer", answer="accept")  # the browser's way back
    assert "Not counted" in page.note and "taken back" in page.note
    assert page.item == "item000" and values(place) == []
    ann.send(page, "/answer", answer="refuse")
    assert values(place) == [0.0]


def test_two_pages_with_an_item_each_answer_both_whole(place: Place) -> None:
    place.push([item(i, pi=0.9 - i / 10, blind=True, critique="one") for i in range(2)])
    ann = place.visitor("ann")
    page = ann.get("/")
    other = place.queue.claim("ann", 60)
    assert other is not None and page.item == "item000" != other.item.id
    forms = page.form("/alone"), page.form("/alone") | {"lease": place.site.signer.lease("ann", other.token)}
    for form in forms[::-1]:
        assert "Your first answer is saved" in ann.post("/alone", form | {"answer": "accept"}).note
    for form in forms[::-1]:
        given = {"answer": "refuse", "critique": "better", "seconds": "0.01"}
        assert "saved" in ann.post("/answer", form | given).note
    found = [(a.alone, a.value, a.critique, a.seconds) for a in place.queue.answers()]
    assert found == [(1.0, 0.0, "better", 0.01)] * 2


def test_an_edited_critique_and_the_time_are_kept_with_the_answer(place: Place) -> None:
    place.push([item(i, pi=0.9 - i / 10, critique="one\ntwo") for i in range(3)])
    ann = place.visitor("ann")
    page = ann.send(ann.get("/"), "/answer", answer="accept", critique="one\r\ntwo\r\n", seconds="0.01")
    page = ann.send(page, "/answer", answer="accept", critique="better\r\nwords", seconds="1e9")
    ann.send(page, "/answer", answer="accept", seconds="nan")
    unchanged, edited, timed = place.queue.answers()
    assert (unchanged.critique, edited.critique) == (None, "better\nwords")
    assert unchanged.seconds == 0.01
    assert edited.seconds is not None and edited.seconds < 60  # never more than the time that passed
    assert timed.seconds is not None and 0 <= timed.seconds < 60


def test_declined_categories_are_not_offered_and_the_choice_outlives_the_session(place: Place) -> None:
    place.push([item(1, category="poison", pi=0.9), item(2, pi=0.5), item(3, category="poison")])
    token = place.site.users.add("ann", "annotator")
    ann = Visitor(place.address)
    assert ann.login(token).item == "item001"
    page = ann.send(ann.get("/settings"), "/settings", declined=["poison"], shortcuts="on")
    assert page.item == "item002"
    ann.send(page, "/logout")
    assert 'value="poison" checked' in (ann.login(token), ann.get("/settings"))[1].text
    assert ann.send(ann.get("/"), "/answer", answer="accept").item is None
    assert place.visitor("ben").get("/").item == "item001"


def test_a_late_answer_counts_unless_somebody_else_took_the_item(make_place: Callable[..., Place]) -> None:
    clock = Clock()
    place = make_place(clock=clock, lease_s=10.0)
    place.push([item(1), item(2, pi=0.1)])
    ann, ben = place.visitor("ann"), place.visitor("ben")
    page = ann.get("/")
    clock.now += 11
    page = ann.send(page, "/answer", answer="accept", critique="still here")
    assert [a.critique for a in place.queue.answers()] == ["still here"]
    clock.now += 11
    assert ben.get("/").item == page.item
    assert "Not counted" in ann.send(page, "/answer", answer="accept").note
    assert len(values(place)) == 1


def test_a_heartbeat_holds_the_item_and_tells_when_it_is_lost(make_place: Callable[..., Place]) -> None:
    clock = Clock()
    place = make_place(clock=clock, lease_s=10.0)
    place.push([item(1)])
    ann, ben = place.visitor("ann"), place.visitor("ben")
    fields = ann.get("/").form("/skip")
    for _ in range(3):
        clock.now += 8
        assert ann.ask("POST", "/heartbeat", fields).status == 204
        assert ben.get("/").item is None
    clock.now += 11
    assert ben.get("/").item == "item001"
    assert ann.ask("POST", "/heartbeat", fields).status == 409


def test_an_idle_page_learns_of_new_items(place: Place) -> None:
    ann = place.visitor("ann")
    fields = ann.get("/").form("/waiting")
    assert ann.ask("POST", "/waiting", fields).status == 204
    place.push([item(1)])
    assert ann.ask("POST", "/waiting", fields).status == 200


def test_the_budget_holds_and_is_shown(place: Place) -> None:
    place.push([item(i) for i in range(5)], budget=2)
    ann = place.visitor("ann")
    page = ann.get("/")
    assert "<b>2</b> of 2 labels left" in page.text
    page = ann.send(page, "/answer", answer="accept")
    page = ann.send(page, "/answer", answer="accept")
    assert page.item is None and len(values(place)) == 2


def test_an_older_item_shows_the_budget_of_its_own_round(place: Place) -> None:
    place.push([item(1)], budget=7)
    place.push([item(2, round=2)], budget=3)
    ann = place.visitor("ann")
    page = ann.get("/")
    assert page.item == "item002" and "<b>3</b> of 3 labels left" in page.text
    page = ann.send(page, "/answer", answer="accept")
    assert page.item == "item001" and "<b>7</b> of 7 labels left" in page.text
    assert "<b>2</b> of 3 labels left" in ann.send(page, "/answer", answer="accept").text


def test_a_runs_own_guideline_replaces_the_common_one(make_place: Callable[..., Place]) -> None:
    place = make_place(guideline="Only <b>roses</b> count.")
    place.push([item(1)])
    page = place.visitor("ann").get("/")
    assert "Only &lt;b&gt;roses&lt;/b&gt; count." in page.text and "Judge the answer" not in page.text


def test_times_do_not_count_from_an_earlier_item(place: Place) -> None:
    place.push([item(i) for i in range(2)])
    ann = place.visitor("ann")
    page = ann.get("/")
    time.sleep(0.3)
    page = ann.send(page, "/answer", answer="accept")
    ann.send(page, "/answer", answer="accept")
    first, second = (a.seconds or 0.0 for a in sorted(place.queue.answers(), key=lambda a: a.created_at))
    assert first >= 0.3 > second
