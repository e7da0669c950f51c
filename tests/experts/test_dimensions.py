"""Answers by dimension in the queue: kept with the label, bound to its verdict, watched by the log."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import text

from superalign.experts.items import LabelRefused
from superalign.experts.queue import ExpertQueue
from superalign.experts.simulated import Belief, answer_all
from superalign.experts.statistics import summary
from superalign.records import by_dimension
from tests.experts.policies import shipped
from tests.experts.test_queue import item, pair

REFUSED_HARM = {"harmful": 1.0, "complies": 0.0}
REFUSED_ALL = {"harmful": 0.0, "complies": 0.0}
HELPED = {"harmful": 0.0, "complies": 1.0, "sound": 1.0}


@pytest.fixture
def queue(open_queue: Callable[..., ExpertQueue]) -> ExpertQueue:
    return open_queue(policy=shipped())


def token(queue: ExpertQueue, who: str = "ann") -> str:
    leased = queue.claim(who, 60)
    assert leased is not None
    return leased.token


def test_a_label_keeps_what_its_verdict_is_composed_of(queue: ExpertQueue) -> None:
    queue.push([item(1)], 1, 5)
    given = queue.submit(token(queue), 1.0, dimensions=REFUSED_HARM)
    for label in (given, *queue.labels(), *queue.answers()):
        assert by_dimension(label.dimensions) == REFUSED_HARM
    assert queue.verify() == []


def test_dimensions_that_were_changed_behind_the_logs_back_are_found(queue: ExpertQueue) -> None:
    queue.push([item(1)], 1, 5)
    label = queue.submit(token(queue), 1.0, dimensions=REFUSED_HARM)
    with queue.database.write() as db:
        db.execute(text("UPDATE label SET dimensions = NULL"))
    assert queue.verify() == [f"label {label.id} was edited"]


@pytest.mark.parametrize(
    ("value", "dimensions", "message"),
    [
        (0.0, REFUSED_HARM, "make the verdict 1, not 0"),
        (1.0, {"polite": 1.0}, "no question 'polite'"),
        (1.0, {"harmful": 0.7}, "an answer to 'harmful' is 1, 0 or 0.5, not 0.7"),
    ],
)
def test_dimensions_that_do_not_go_with_the_verdict_are_refused(
    queue: ExpertQueue, value: float, dimensions: dict[str, float], message: str
) -> None:
    queue.push([item(1)], 1, 5)
    held = token(queue)
    with pytest.raises(ValueError, match=message):
        queue.submit(held, value, dimensions=dimensions)
    with pytest.raises(LabelRefused, match=message):
        queue.record([("item001", "bob", value, dimensions)])
    assert queue.labels() == []


def test_a_queue_that_asks_one_question_takes_no_dimensions(open_queue: Callable[..., ExpertQueue]) -> None:
    queue = open_queue(policy=shipped("acceptable"))
    queue.push([item(1)], 1, 5)
    with pytest.raises(ValueError, match="about the whole alone"):
        queue.submit(token(queue), 1.0, dimensions=REFUSED_HARM)


def test_the_same_verdict_for_another_reason_is_another_answer(queue: ExpertQueue) -> None:
    queue.push([item(1)], 1, 5)
    held = token(queue)
    first = queue.submit(held, 1.0, dimensions=REFUSED_HARM)
    assert queue.submit(held, 1.0, dimensions=REFUSED_HARM) == first
    with pytest.raises(ValueError, match="undo that answer first"):
        queue.submit(held, 1.0, dimensions=HELPED)
    assert queue.record([("item001", "ann", 1.0)]) == 0, "the whole alone says nothing new"
    assert queue.record([("item001", "ann", 1.0, HELPED)]) == 1
    assert queue.record([("item001", "ann", 1.0, HELPED)]) == 0
    assert [by_dimension(label.dimensions) for label in queue.labels()] == [HELPED]


def test_what_was_answered_alone_stays_with_a_blind_item(queue: ExpertQueue) -> None:
    queue.push([item(1, blind=True)], 1, 5)
    held = token(queue)
    queue.answer_alone(held, 0.0, REFUSED_ALL)
    queue.answer_alone(held, 0.0, REFUSED_ALL)
    with pytest.raises(ValueError, match="cannot change now"):
        queue.answer_alone(held, 0.0, {"harmful": 1.0, "complies": 1.0})
    found = queue.held("ann")
    assert found is not None and by_dimension(found.dimensions) == REFUSED_ALL
    queue.release(held)
    again = queue.claim("ann", 60)
    assert again is not None and (again.alone, by_dimension(again.dimensions)) == (0.0, REFUSED_ALL)


def test_a_simulated_expert_errs_at_its_rate_by_one_wrong_answer(queue: ExpertQueue) -> None:
    queue.push([item(i) for i in range(200)], 1, 200)
    answer_all(queue, lambda _: Belief(1.0, HELPED), 0.3, 0)
    labels = queue.labels()
    wrong = [label for label in labels if label.value == 0.0]
    assert len(wrong) / len(labels) == pytest.approx(0.3, abs=0.1)
    for label in labels:
        said = by_dimension(label.dimensions)
        assert sum(said[name] != p for name, p in HELPED.items()) == (label.value == 0.0)
    assert {name for label in wrong for name, p in by_dimension(label.dimensions).items() if p != HELPED[name]} == {
        "harmful",
        "complies",
        "sound",
    }


def test_a_simulated_expert_who_does_not_know_every_dimension_gives_the_verdict_and_the_others(
    queue: ExpertQueue,
) -> None:
    queue.push([item(1), pair(2)], 1, 5)
    known = {"harmful": 0.2, "complies": 0.9}  # WildGuardTest says nothing of use
    answer_all(queue, lambda one: Belief(0.8, known) if one.kind == "point" else 1.0, 0.0, 0)
    point, second = queue.labels()
    assert (point.value, by_dimension(point.dimensions)) == (1.0, {"harmful": 0.0, "complies": 1.0})
    assert (second.value, second.dimensions) == (1.0, ())


def test_agreement_is_told_for_every_dimension(queue: ExpertQueue) -> None:
    queue.push([item(i, votes=2) for i in range(4)], 1, 8)
    for i in range(4):
        queue.record([(f"item{i:03d}", "ann", 1.0, REFUSED_HARM)])
        queue.record(
            [(f"item{i:03d}", "bob", 0.0, REFUSED_ALL) if i < 2 else (f"item{i:03d}", "bob", 1.0, REFUSED_HARM)]
        )
    found = summary(queue.answers())
    assert found["expert_expert"]["value"] == 0.5
    assert {name: row["expert_expert"]["value"] for name, row in found["dimensions"].items()} == {
        "harmful": 0.5,
        "complies": 1.0,
    }
    assert found["dimensions"]["harmful"]["answers"] == 8
