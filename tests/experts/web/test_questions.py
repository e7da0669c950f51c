"""The page by a policy of several dimensions, without JavaScript: a question a page, the verdict before it is kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from superalign.records import by_dimension
from tests.experts.policies import shipped
from tests.experts.test_queue import item, pair
from tests.experts.web.conftest import Place
from tests.experts.web.visitor import Page, Visitor

SAFETY = shipped()
QUESTION = {name: dimension.question for name, dimension in SAFETY.dimensions.items()}


@pytest.fixture
def place(make_place: Callable[..., Place]) -> Place:
    return make_place(policy=SAFETY, guideline=SAFETY.guideline)


def heading(page: Page) -> str:
    found = re.search(r"<h1[^>]*>(.*?)</h1>", page.text)
    assert found
    return found[1]


def choose(visitor: Visitor, page: Page, *words: str) -> Page:
    """Press one button after the other, as a browser without JavaScript does."""
    for word in words:
        found = re.search(rf'<button class="main" name="said" value="([ynt]+)"[^>]*>{word} ', page.text)
        assert found, word
        page = visitor.get(f"/?item={page.item}&said={found[1]}")
    return page


def kept(place: Place) -> list[tuple[float, dict[str, float]]]:
    return [(answer.value, by_dimension(answer.dimensions)) for answer in place.queue.answers()]


def test_questions_come_in_turn_and_the_verdict_is_shown_before_it_is_kept(place: Place) -> None:
    place.push([item(1)])
    visitor = place.visitor("ann")
    page = visitor.get("/")
    assert heading(page) == QUESTION["harmful"] and "/answer" not in page.actions
    page = choose(visitor, page, "Harmless")
    assert heading(page) == QUESTION["complies"] and "<b>harmless</b>" in page.text
    page = choose(visitor, page, "Complies", "Of no use")
    assert heading(page) == "Your verdict: Not acceptable" and kept(place) == []
    assert "Your answer is saved" in visitor.send(page, "/answer").note
    assert kept(place) == [(0.0, {"harmful": 0.0, "complies": 1.0, "sound": 0.0})]
    assert place.queue.verify() == []


def test_what_cannot_change_the_verdict_is_not_asked(place: Place) -> None:
    place.push([item(1)])
    visitor = place.visitor("ann")
    page = choose(visitor, visitor.get("/"), "Harmful", "Declines")
    assert heading(page) == "Your verdict: Acceptable" and QUESTION["sound"] not in page.text
    visitor.send(page, "/answer")
    assert kept(place) == [(1.0, {"harmful": 1.0, "complies": 0.0})]


def test_one_can_go_back_and_answer_otherwise(place: Place) -> None:
    place.push([item(1)])
    visitor = place.visitor("ann")
    page = choose(visitor, visitor.get("/"), "Harmful", "Complies")
    found = re.search(r'<button name="said" value="(\w*)" data-key="b"', page.text)
    assert found
    page = visitor.get(f"/?item={page.item}&said={found[1]}")
    assert heading(page) == QUESTION["complies"]
    visitor.send(choose(visitor, page, "Declines"), "/answer")
    assert kept(place) == [(1.0, {"harmful": 1.0, "complies": 0.0})]


def test_answers_to_another_item_are_not_taken_for_this_one(place: Place) -> None:
    place.push([item(1)])
    assert heading(place.visitor("ann").get("/?item=item999&said=yn")) == QUESTION["harmful"]


@pytest.mark.parametrize("said", ["x", "ynn", "yny", "a"])
def test_an_address_that_holds_no_answers_is_refused(place: Place, said: str) -> None:
    place.push([item(1)])
    assert place.visitor("ann").get(f"/?item=item001&said={said}").status == 400


@pytest.mark.parametrize("fields", [{"answer": "accept"}, {"said": "n"}, {"said": ""}])
def test_a_form_that_leaves_a_question_open_is_refused(place: Place, fields: dict[str, str]) -> None:
    place.push([item(1)])
    visitor = place.visitor("ann")
    page = choose(visitor, visitor.get("/"), "Harmful", "Declines")
    assert visitor.post("/answer", page.form("/answer") | {"said": ""} | fields).status == 400
    assert kept(place) == []


def test_a_blind_item_is_confirmed_with_the_answers_that_were_given_alone(place: Place) -> None:
    place.push([item(1, blind=True, critique="SECRETC", p=0.9)])
    visitor = place.visitor("ann")
    page = choose(visitor, visitor.get("/"), "Harmful", "Complies")
    assert "SECRETC" not in page.text
    page = visitor.send(page, "/alone")
    assert "SECRETC" in page.text and heading(page) == "Your verdict: Not acceptable"
    assert "Your first answer: <b>Not acceptable</b>" in page.text
    visitor.send(page, "/answer")
    ((value, said), alone) = (kept(place)[0], place.queue.answers()[0].alone)
    assert (value, said, alone) == (0.0, {"harmful": 1.0, "complies": 1.0}, 0.0)


def test_covered_text_is_judged_by_nobody(place: Place) -> None:
    place.push([item(1, harmful=True)])
    page = place.visitor("ann").get("/?item=item001&said=yn")
    assert "/answer" not in page.actions and 'name="said"' not in page.text


def test_pairs_and_policies_of_one_question_keep_their_page(make_place: Callable[..., Place]) -> None:
    place = make_place(policy=SAFETY)
    place.push([pair(1)])
    visitor = place.visitor("ann")
    page = visitor.get("/")
    assert heading(page) == "Which answer is better?"
    visitor.send(page, "/answer", answer="tie")
    assert kept(place) == [(0.5, {})]


def test_the_policys_guideline_folds_out_beside_the_item(place: Place) -> None:
    place.push([item(1)])
    visitor = place.visitor("ann")
    for path in ("/", "/help"):
        assert "Words that sound dangerous do" in visitor.get(path).text
    assert "<details open>" in visitor.get("/").text


def test_an_adjudicator_answers_all_questions_of_a_flagged_item_at_once(place: Place) -> None:
    place.push([replace(item(1), votes=2)])
    visitor = place.visitor("ann")
    visitor.send(visitor.get("/"), "/flag", reason="odd")
    judge = place.visitor("eve", "adjudicator")
    page = judge.get("/flags")
    page = judge.send(page, "/flags/answer", said=["no", "yes", ""])
    assert "a question that matters is not answered" in page.note and kept(place) == []
    page = judge.send(page, "/flags/answer", said=["no", "yes", "yes"])
    assert "Your answer: Acceptable (harmless, complies, sound)" in page.text
    assert kept(place) == [(1.0, {"harmful": 0.0, "complies": 1.0, "sound": 1.0})]
    assert judge.send(page, "/flags/answer", said=["no"]).status == 400
    assert "complies" in judge.get("/statistics").text
