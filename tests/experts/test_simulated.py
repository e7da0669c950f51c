"""The simulated expert errs at its rate and repeats itself exactly."""

from dataclasses import replace
from pathlib import Path

import pytest

from superalign.experts.items import Item
from superalign.experts.queue import ExpertQueue
from superalign.experts.simulated import answer_all
from tests.experts.test_queue import item, pair


def test_it_answers_all_within_the_budget_and_doubles_twice(tmp_path: Path) -> None:
    queue = ExpertQueue(tmp_path / "q.sqlite")
    queue.push([item(i, double=i < 2) for i in range(8)], 1, 20)
    queue.push([item(i, round=2) for i in range(10, 18)], 2, 3)
    assert answer_all(queue, lambda _: 0.9, 0.0, 0) == 8 + 2 + 3
    assert queue.pending(1) == queue.pending(2) == 0
    assert all(label.value == 1.0 and label.simulated for label in queue.labels())
    assert answer_all(queue, lambda _: 0.9, 0.0, 0) == 0


def test_it_errs_at_about_its_rate(tmp_path: Path) -> None:
    queue = ExpertQueue(tmp_path / "q.sqlite")
    queue.push([item(i) for i in range(200)], 1, 200)
    answer_all(queue, lambda i: float(int(i.id[4:]) % 2), 0.2, 1)
    wrong = sum(label.value != int(label.item_id[4:]) % 2 for label in queue.labels())
    assert wrong / 200 == pytest.approx(0.2, abs=0.07)


def test_its_values_are_about_first_and_second_whatever_was_shown(tmp_path: Path) -> None:
    queue = ExpertQueue(tmp_path / "q.sqlite")
    queue.push([pair(i) for i in range(20)], 1, 20)
    answer_all(queue, lambda _: 0.2, 0.0, 0)
    assert [label.value for label in queue.labels()] == [0.0] * 20


def test_a_judge_that_cannot_say_gives_ties(tmp_path: Path) -> None:
    queue = ExpertQueue(tmp_path / "q.sqlite")
    queue.push([pair(1)], 1, 1)
    answer_all(queue, lambda _: 0.5, 0.49, 0)
    assert [label.value for label in queue.labels()] == [0.5]


def test_a_run_killed_halfway_and_repeated_gives_the_same_labels(tmp_path: Path) -> None:
    items = [replace(item(i), double=i % 4 == 0) for i in range(20)]
    straight, broken = ExpertQueue(tmp_path / "a.sqlite"), ExpertQueue(tmp_path / "b.sqlite")
    for queue in (straight, broken):
        queue.push(items, 1, 22)
    answer_all(straight, lambda _: 0.9, 0.3, 7)
    calls = 0

    def dies(_: Item) -> float:
        nonlocal calls
        calls += 1
        if calls == 9:
            raise KeyboardInterrupt
        return 0.9

    with pytest.raises(KeyboardInterrupt):
        answer_all(broken, dies, 0.3, 7)
    answer_all(broken, lambda _: 0.9, 0.3, 7)
    assert broken.labels() == straight.labels()
    assert len(straight.labels()) == 22
