"""The queue: a hard budget, leases, append-only labels; on a real SQLite file and a real PostgreSQL."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from superalign.errors import UserError
from superalign.experts.items import AnswerGone, Item, LabelRefused
from superalign.experts.queue import ExpertQueue


class Clock:
    """A clock that goes only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def item(i: int, round: int = 1, **changes: object) -> Item:
    base = Item(
        f"item{i:03d}", round, "point", f"q{i}", f"r{i}", "", f"question {i}", f"answer {i}", "", "looks fine",
        "gardening", 0.25, "active", False, False,
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]


def pair(i: int) -> Item:
    return item(i, kind="pair", second_id=f"s{i}", second=f"other {i}")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(open_queue: Callable[..., ExpertQueue], clock: Clock) -> ExpertQueue:
    return open_queue(clock=clock)


def answer(queue: ExpertQueue, who: str, value: float = 1.0) -> str:
    leased = queue.claim(who, 60)
    assert leased is not None
    return queue.submit(leased.token, value).id


def test_pushing_a_round_again_adds_nothing(queue: ExpertQueue) -> None:
    assert queue.push([item(1), item(2)], 1, 5) == 2
    answer(queue, "ann")
    assert queue.push([item(1), item(2)], 1, 5) == 0
    assert len(queue.labels()) == 1
    assert queue.push([], 2, 5) == 0


def test_a_budget_cannot_change_once_its_round_is_pushed(queue: ExpertQueue) -> None:
    queue.push([item(1)], 1, 5)
    with pytest.raises(ValueError, match="budget of 5"):
        queue.push([item(2)], 1, 6)
    assert len(queue.items()) == 1
    with pytest.raises(ValueError, match="items of its own"):
        queue.push([item(2, round=3)], 2, 6)


def test_the_budget_bounds_labels_and_held_leases_together(queue: ExpertQueue) -> None:
    queue.push([item(i) for i in range(5)], 1, 2)
    answer(queue, "ann")
    assert queue.claim("bob", 60) is not None
    assert queue.claim("ann", 60) is None
    assert queue.pending(1) == 1


def test_the_newest_round_and_its_forced_lane_come_first(queue: ExpertQueue) -> None:
    queue.push([item(1)], 1, 5)
    queue.push([item(2, round=2), item(3, round=2, lane="forced")], 2, 5)
    claimed = [queue.claim(who, 60) for who in ("a", "b", "c")]
    assert [c.item.id for c in claimed if c] == ["item003", "item002", "item001"]


def test_the_same_answer_twice_is_one_label_and_another_is_refused(queue: ExpertQueue) -> None:
    queue.push([item(1)], 1, 5)
    leased = queue.claim("ann", 60)
    assert leased is not None
    assert queue.submit(leased.token, 1.0) == queue.submit(leased.token, 1.0)
    with pytest.raises(ValueError, match="another value"):
        queue.submit(leased.token, 0.0)
    assert len(queue.labels()) == 1


def test_an_answer_sent_again_does_not_count_as_given_once_it_was_taken_back(queue: ExpertQueue) -> None:
    queue.push([item(1)], 1, 5)
    leased = queue.claim("ann", 60)
    assert leased is not None
    queue.undo(queue.submit(leased.token, 1.0).id)
    for value in (1.0, 0.0):
        with pytest.raises(AnswerGone, match="taken back"):
            queue.submit(leased.token, value)
    assert queue.labels() == []
    queue.record([("item001", "ann", 0.0)])
    with pytest.raises(AnswerGone, match="replaced by another"):
        queue.submit(leased.token, 1.0)
    assert [label.value for label in queue.labels()] == [0.0]


def test_undo_supersedes_and_deletes_nothing(queue: ExpertQueue, clock: Clock) -> None:
    queue.push([item(1)], 1, 1)
    first = answer(queue, "ann", 1.0)
    before = queue.cursor()
    assert queue.undo(first) is True
    assert queue.undo(first) is False
    assert queue.labels() == []
    second = answer(queue, "ann", 0.0)
    assert [(label.id, label.value) for label in queue.labels()] == [(second, 0.0)]
    assert [(label.id, label.value) for label in queue.labels(until=before)] == [(first, 1.0)]
    with queue.database.read() as db:
        rows = db.exec_driver_sql("SELECT value, supersedes FROM label ORDER BY seq").all()
    assert [value for value, _ in rows] == [1.0, None, 0.0]
    assert rows[1][1] == first
    with pytest.raises(ValueError, match="no label"):
        queue.undo("nonsense")


def test_a_double_needs_two_different_annotators(queue: ExpertQueue) -> None:
    queue.push([item(1, double=True)], 1, 5)
    answer(queue, "ann")
    assert queue.claim("ann", 60) is None
    assert queue.pending(1) == 1
    answer(queue, "bob", 0.0)
    assert queue.claim("cid", 60) is None
    assert queue.stats()["agreement"] == 0.0
    assert queue.pending(1) == 0


def test_a_skipped_item_goes_to_others(queue: ExpertQueue) -> None:
    queue.push([item(1)], 1, 5)
    leased = queue.claim("ann", 60)
    assert leased is not None
    queue.release(leased.token, skip=True)
    assert queue.claim("ann", 60) is None
    assert queue.claim("bob", 60) is not None


def test_half_of_the_pairs_are_shown_swapped_and_stored_straight(queue: ExpertQueue) -> None:
    items = [pair(i) for i in range(40)]
    assert 10 < sum(i.swapped for i in items) < 30
    assert not item(1).swapped
    queue.push(items, 1, 40)
    while (leased := queue.claim("ann", 60)) is not None:
        queue.submit(leased.token, float(leased.item.shown[0].startswith("answer")))
    assert [label.value for label in queue.labels()] == [1.0] * 40


def test_a_label_carries_the_propensity_lane_and_round_of_its_item(queue: ExpertQueue) -> None:
    queue.push([item(1, lane="forced", pi=1.0)], 1, 5)
    leased = queue.claim("ann", 60)
    assert leased is not None
    label = queue.submit(leased.token, 1.0, simulated=True)
    assert (label.pi, label.lane, label.round, label.simulated) == (1.0, "forced", 1, True)
    assert queue.labels() == [label]


def test_labels_after_a_cursor_are_the_new_ones(queue: ExpertQueue) -> None:
    queue.push([item(1), item(2)], 1, 5)
    answer(queue, "ann")
    cursor = queue.cursor()
    second = answer(queue, "ann")
    assert [label.id for label in queue.labels(since=cursor)] == [second]


def test_answers_from_elsewhere_are_taken_wholly_or_not_at_all(queue: ExpertQueue) -> None:
    queue.push([item(1), item(2), item(3)], 1, 2)
    with pytest.raises(LabelRefused, match="budget of 2") as refused:
        queue.record([("item001", "ann", 1.0), ("item002", "ann", 1.0), ("item003", "ann", 1.0)])
    assert refused.value.index == 2
    assert queue.labels() == []
    assert queue.record([("item001", "ann", 1.0), ("item002", "ann", 1.0)]) == 2
    assert queue.record([("item001", "ann", 1.0), ("item002", "ann", 0.0)]) == 1
    assert [label.value for label in queue.labels()] == [1.0, 0.0]


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([("nothing", "ann", 1.0)], "no item"),
        ([("item001", "ann", 0.3)], "0.3"),
        ([("item001", "ann", 1.0), ("item001", "bob", 1.0)], "all the answers"),
    ],
)
def test_an_answer_from_elsewhere_that_cannot_be_is_named(
    queue: ExpertQueue, answers: list[tuple[str, str, float]], message: str
) -> None:
    queue.push([item(1)], 1, 5)
    with pytest.raises(LabelRefused, match=message):
        queue.record(answers)
    assert queue.labels() == []


def test_statistics_count_rounds_and_people(queue: ExpertQueue) -> None:
    queue.push([item(1), item(2)], 1, 5)
    answer(queue, "ann")
    queue.claim("bob", 60)
    stats = queue.stats()
    assert stats["rounds"] == [{"round": 1, "budget": 5, "used": 1, "items": 2, "leased": 1}]
    assert stats["annotators"] == {"ann": 1}
    assert stats["agreement"] is None
    assert json.dumps(stats)


@pytest.mark.parametrize("name", ["  ", "", "a\nb", "a\0b"])
def test_an_annotator_without_a_printable_name_is_refused(queue: ExpertQueue, name: str) -> None:
    queue.push([item(1)], 1, 5)
    with pytest.raises(UserError, match="name"):
        queue.claim(name, 60)
    with pytest.raises(LabelRefused, match="name"):
        queue.record([("item001", name, 1.0)])


def test_votes_ask_for_as_many_annotators(queue: ExpertQueue) -> None:
    queue.push([item(1, votes=3), item(2, votes=2, double=True)], 1, 9)
    assert queue.pending(1) == 6
    for who in ("a", "b", "c"):
        answer(queue, who)
        answer(queue, who)
        assert queue.claim(who, 60) is None
    assert queue.claim("d", 60) is None
    assert queue.pending(1) == 0


def test_within_a_lane_the_highest_propensity_comes_first(queue: ExpertQueue) -> None:
    queue.push([item(1, pi=0.2), item(2, pi=0.9), item(3, pi=0.9), item(4, pi=0.1, lane="forced")], 1, 9)
    claimed = [queue.claim(who, 60) for who in "abcd"]
    assert [c.item.id for c in claimed if c] == ["item004", "item002", "item003", "item001"]


def test_categories_that_an_annotator_declines_are_offered_to_others(queue: ExpertQueue) -> None:
    queue.push([item(1, category="poison"), item(2, category="o'brien"), item(3)], 1, 9)
    leased = queue.claim("ann", 60, declined=["poison", "o'brien"])
    assert leased is not None
    assert leased.item.id == "item003"
    assert queue.claim("ann", 60, declined={"poison", "o'brien"}) is None
    assert queue.claim("bob", 60) is not None


def test_an_answer_carries_the_corrected_critique_and_the_time(queue: ExpertQueue, clock: Clock) -> None:
    queue.push([item(1, p=0.9)], 1, 5)
    leased = queue.claim("ann", 60)
    assert leased is not None
    queue.submit(leased.token, 0.0, critique="no: \0 bad \ud800 'quote\" \u202e", seconds=12)
    (given,) = queue.answers()
    assert given.critique == "no: \ufffd bad ? 'quote\" \u202e"
    assert (given.seconds, given.created_at, given.simulated, given.alone) == (12.0, clock.now, False, None)
    assert given.item == item(1, p=0.9)


def test_a_flagged_item_goes_to_others_and_its_reason_to_adjudicators(queue: ExpertQueue, clock: Clock) -> None:
    queue.push([item(1)], 1, 5)
    leased = queue.claim("ann", 60)
    assert leased is not None
    queue.flag(leased.token, "two questions\0 in one")
    queue.flag(leased.token, "again")
    (flag,) = queue.flags()
    assert (flag.item_id, flag.annotator, flag.created_at) == ("item001", "ann", clock.now)
    assert flag.reason == "two questions\ufffd in one"
    assert queue.claim("ann", 60) is None
    assert queue.claim("bob", 60) is not None
    assert queue.pending(1) == 1


def test_traps_cost_budget_and_teach_nothing(queue: ExpertQueue) -> None:
    queue.push([item(1, gold=1.0, pi=0.9), item(2)], 1, 2)
    answer(queue, "ann", 0.0)
    answer(queue, "ann", 1.0)
    assert [label.item_id for label in queue.labels()] == ["item002"]
    assert [(a.item_id, a.item.gold) for a in queue.answers()] == [("item001", 1.0), ("item002", None)]
    assert queue.pending(1) == 0
    assert queue.stats()["rounds"][0]["used"] == 2


def test_an_item_taken_back_is_open_again_for_everybody(queue: ExpertQueue) -> None:
    queue.push([item(1)], 1, 1)
    queue.undo(answer(queue, "ann"))
    assert queue.items(unanswered=True) == [item(1)]
    answer(queue, "bob", 0.0)
    assert [a.annotator for a in queue.answers()] == ["bob"]
    assert queue.claim("ann", 60) is None
