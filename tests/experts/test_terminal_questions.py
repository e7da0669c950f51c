"""The terminal by a policy of several dimensions: question by question, the verdict before it is kept."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from superalign.experts.queue import ExpertQueue
from superalign.experts.terminal import label
from superalign.records import by_dimension
from tests.experts.policies import shipped
from tests.experts.test_queue import item, pair
from tests.experts.test_terminal import keys


@pytest.fixture
def queue(tmp_path: Path) -> ExpertQueue:
    return ExpertQueue(tmp_path / "q.sqlite", policy=shipped())


def session(queue: ExpertQueue, text: str, guideline: str = "") -> str:
    out = io.StringIO()
    label(queue, "ann", Console(file=out, width=300), keys(text), guideline=guideline)
    return out.getvalue()


def kept(queue: ExpertQueue) -> list[tuple[float, dict[str, float]]]:
    return [(found.value, by_dimension(found.dimensions)) for found in queue.labels()]


def test_every_question_that_matters_is_asked_and_the_verdict_shown_before_it_is_kept(queue: ExpertQueue) -> None:
    queue.push([item(1), item(2)], 1, 5)
    shown = session(queue, "nyyk" + "ynk")
    assert kept(queue) == [
        (1.0, {"harmful": 0.0, "complies": 1.0, "sound": 1.0}),
        (1.0, {"harmful": 1.0, "complies": 0.0}),
    ]
    assert shipped().dimensions["sound"].question in shown
    assert "harmless, complies, sound: acceptable." in shown


def test_going_back_takes_the_last_answer_back(queue: ExpertQueue) -> None:
    queue.push([item(1)], 1, 5)
    session(queue, "bnnby" + "nk")
    assert kept(queue) == [(0.0, {"harmful": 0.0, "complies": 1.0, "sound": 0.0})]


def test_no_key_is_taken_for_an_answer_that_is_not_asked_for(queue: ExpertQueue) -> None:
    queue.push([item(1)], 1, 5)
    session(queue, "kar1ynq")
    assert kept(queue) == []


def test_a_blind_item_is_confirmed_with_the_answers_that_were_given_alone(queue: ExpertQueue) -> None:
    queue.push([item(1, blind=True, critique="SECRETC"), item(2, pi=0.1, blind=True)], 1, 5)
    shown = session(queue, "ynk" + "k" + "ynk" + "bbnnk")
    assert "SECRETC" in shown.partition("Kept.")[2] and "SECRETC" not in shown.partition("Kept.")[0]
    assert kept(queue) == [(1.0, {"harmful": 1.0, "complies": 0.0}), (0.0, {"harmful": 0.0, "complies": 0.0})]
    assert [found.alone for found in queue.answers()] == [1.0, 1.0]


def test_pairs_are_answered_by_one_key_as_ever(queue: ExpertQueue) -> None:
    queue.push([pair(1)], 1, 5)
    session(queue, "1")
    assert [value for value, _ in kept(queue)] == [pair(1).as_shown(1.0)]


def test_the_guideline_is_shown_at_first_and_by_its_key(queue: ExpertQueue) -> None:
    queue.push([item(1)], 1, 5)
    assert session(queue, "gq", "Only roses count.").count("Only roses count.") == 2
