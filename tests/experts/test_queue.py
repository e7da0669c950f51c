"""The queue: a hard budget, leases, append-only labels; on a real SQLite file and a real PostgreSQL."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from superalign.errors import UserError
from superalign.experts.items import Item, LabelRefused, LeaseLost
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


def test_a_budget_of_zero_leases_nothing(queue: ExpertQueue) -> None:
    queue.push([item(1)], 1, 0)
    assert queue.claim("ann", 60) is None
    assert queue.pending(1) == 0


def test_the_newest_round_and_its_forced_lane_come_first(queue: ExpertQueue) -> None:
    queue.push([item(1)], 1, 5)
    queue.push([item(2, round=2), item(3, round=2, lane="forced")], 2, 5)
    claimed = [queue.claim(who, 60) for who in ("a", "b", "c")]
    assert [c.item.id for c in claimed if c] == ["item003", "item002", "item001"]


def test_two_annotators_never_hold_the_same_single_item(queue: ExpertQueue) -> None:
    queue.push([item(1)], 1, 5)
    assert queue.claim("ann", 60) is not None
    assert queue.claim("bob", 60) is None


def test_a_lease_that_ran_out_reopens_the_item(queue: ExpertQueue, clock: Clock) -> None:
    queue.push([item(1)], 1, 5)
    lost = queue.claim("ann", 60)
    assert lost is not None
    clock.now += 61
    taken = queue.claim("bob", 60)
    assert taken is not None
    with pytest.raises(LeaseLost, match="ran out"):
        queue.submit(lost.token, 1.0)
    queue.submit(taken.token, 0.0)
    assert [label.annotator for label in queue.labels()] == ["bob"]


def test_a_late_answer_counts_while_nobody_took_the_item(queue: ExpertQueue, clock: Clock) -> None:
    queue.push([item(1)], 1, 5)
    leased = queue.claim("ann", 60)
    assert leased is not None
    clock.now += 3600
    assert queue.submit(leased.token, 1.0).value == 1.0


def test_a_late_answer_does_not_pass_the_budget(queue: ExpertQueue, clock: Clock) -> None:
    queue.push([item(1), item(2)], 1, 1)
    leased = queue.claim("ann", 60)
    assert leased is not None
    queue.release_all("bob")
    clock.now += 61
    other = queue.claim("bob", 60)
    assert other is not None
    queue.release(other.token, skip=True)
    answer(queue, "bob")
    with pytest.raises(LeaseLost, match="budget of 1"):
        queue.submit(leased.token, 1.0)
    assert len(queue.labels()) == 1


def test_the_same_answer_twice_is_one_label_and_another_is_refused(queue: ExpertQueue) -> None:
    queue.push([item(1)], 1, 5)
    leased = queue.claim("ann", 60)
    assert leased is not None
    assert queue.submit(leased.token, 1.0) == queue.submit(leased.token, 1.0)
    with pytest.raises(ValueError, match="another value"):
        queue.submit(leased.token, 0.0)
    assert len(queue.labels()) == 1


def test_unknown_leases_given_back_leases_and_odd_values_are_refused(queue: ExpertQueue) -> None:
    queue.push([item(1)], 1, 5)
    with pytest.raises(LeaseLost, match="no such lease"):
        queue.submit("nonsense", 1.0)
    leased = queue.claim("ann", 60)
    assert leased is not None
    with pytest.raises(ValueError, match=r"0\.7"):
        queue.submit(leased.token, 0.7)
    queue.release(leased.token)
    with pytest.raises(LeaseLost, match="given back"):
        queue.submit(leased.token, 1.0)


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


def test_nobody_holds_a_double_twice_at_once(queue: ExpertQueue) -> None:
    queue.push([item(1, double=True)], 1, 5)
    assert queue.claim("ann", 60) is not None
    assert queue.claim("ann", 60) is None
    assert queue.claim("bob", 60) is not None


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


def test_a_page_loaded_again_finds_what_is_held(queue: ExpertQueue, clock: Clock) -> None:
    queue.push([pair(i) for i in range(3)], 1, 9)
    assert queue.held("ann") is None
    first = queue.claim("ann", 60)
    clock.now += 1
    assert first is not None
    assert queue.claim("ann", 60) is not None
    assert queue.held("ann") == first
    queue.answer_alone(first.token, 0.0)
    assert queue.held("ann") == replace(first, alone=0.0)
    assert queue.held("bob") is None
    clock.now += 60
    assert queue.held("ann") is None


def test_a_heartbeat_keeps_the_item(queue: ExpertQueue, clock: Clock) -> None:
    queue.push([item(1)], 1, 5)
    leased = queue.claim("ann", 60)
    assert leased is not None
    for _ in range(5):
        clock.now += 50
        assert queue.heartbeat(leased.token, 60) == clock.now + 60
    assert queue.claim("bob", 60) is None
    queue.submit(leased.token, 1.0)
    with pytest.raises(LeaseLost, match="answered"):
        queue.heartbeat(leased.token, 60)


def test_a_heartbeat_revives_a_lease_only_while_nobody_took_the_item(queue: ExpertQueue, clock: Clock) -> None:
    queue.push([item(1)], 1, 5)
    leased = queue.claim("ann", 60)
    assert leased is not None
    clock.now += 61
    queue.heartbeat(leased.token, 60)
    assert queue.claim("bob", 60) is None
    clock.now += 61
    assert queue.claim("bob", 60) is not None
    for late in (lambda: queue.heartbeat(leased.token, 60), lambda: queue.reveal(leased.token)):
        with pytest.raises(LeaseLost, match="ran out"):
            late()
    with pytest.raises(LeaseLost, match="no such lease"):
        queue.heartbeat("nonsense", 60)


def test_what_was_answered_alone_is_kept_beside_the_final_answer(queue: ExpertQueue) -> None:
    asked = [pair(i) for i in range(6)]
    queue.push([replace(i, blind=True) for i in asked], 1, 9)
    while (leased := queue.claim("ann", 60)) is not None:
        queue.answer_alone(leased.token, 1.0)
        queue.answer_alone(leased.token, 1.0)
        with pytest.raises(ValueError, match="cannot change"):
            queue.answer_alone(leased.token, 0.0)
        with pytest.raises(ValueError, match=r"0\.3"):
            queue.answer_alone(leased.token, 0.3)
        queue.submit(leased.token, 0.0)
    given = queue.answers()
    assert [a.alone for a in given] == [i.as_shown(1.0) for i in asked]
    assert [a.value for a in given] == [i.as_shown(0.0) for i in asked]


def test_what_was_answered_alone_cannot_be_answered_again_under_another_lease(queue: ExpertQueue) -> None:
    asked = replace(pair(1), blind=True)
    queue.push([asked], 1, 9)
    first = queue.claim("ann", 60)
    assert first and first.alone is None
    queue.answer_alone(first.token, 1.0)
    queue.release(first.token)
    second = queue.claim("ann", 60)
    assert second and second.alone == 1.0
    with pytest.raises(ValueError, match="cannot change"):
        queue.answer_alone(second.token, 0.0)
    queue.undo(queue.submit(second.token, 0.0).id)
    queue.submit(queue.claim("ann", 60).token, 0.0)  # type: ignore[union-attr]
    assert [a.alone for a in queue.answers()] == [asked.as_shown(1.0)]


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


def test_one_annotator_with_two_leases_of_an_item_gives_one_answer(queue: ExpertQueue, clock: Clock) -> None:
    queue.push([item(1, double=True)], 1, 2)
    first = queue.claim("ann", 60)
    clock.now += 61
    second = queue.claim("ann", 60)
    assert first and second
    queue.submit(first.token, 1.0)
    with pytest.raises(LeaseLost, match="answered"):
        queue.submit(second.token, 0.0)
    answer(queue, "bob")
    assert len(queue.labels()) == 2


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["claim", "submit", "late", "release", "skip", "flag", "undo", "heartbeat", "wait", "import"]),
        st.sampled_from(["ann", "bob", "cid"]),
        st.integers(0, 5),
    ),
    max_size=40,
)


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(actions=ACTIONS, cap=st.integers(0, 6))
def test_whatever_happens_no_item_and_no_budget_is_passed(
    open_queue: Callable[..., ExpertQueue], actions: list[tuple[str, str, int]], cap: int
) -> None:
    clock = Clock()
    queue = open_queue(clock=clock)
    round = max([i.round for i in queue.items()], default=0) + 1  # every example has a round of its own
    queue.push([item(10 * round + i, round, votes=1 + i % 2, double=i == 2) for i in range(4)], round, cap)
    tokens: list[str] = []
    given_labels: list[str] = []
    for action, who, n in actions:
        token = tokens[n % len(tokens)] if tokens else "none"
        try:
            if action == "claim" and (leased := queue.claim(who, 60)):
                tokens.append(leased.token)
            elif action in ("submit", "late"):
                clock.now += 61 * (action == "late")
                given_labels.append(queue.submit(token, [0.0, 0.5, 1.0][n % 3]).id)
            elif action in ("release", "skip"):
                queue.release(token, skip=action == "skip")
            elif action == "flag":
                queue.flag(token, "odd")
            elif action == "undo" and given_labels:
                queue.undo(given_labels[n % len(given_labels)])
            elif action == "heartbeat":
                queue.heartbeat(token, 60)
            elif action == "wait":
                clock.now += 30
            elif action == "import":
                queue.record([(f"item{10 * round + n % 4:03d}", who, 1.0)])
        except (LeaseLost, ValueError):
            pass
        counts = queue.stats()["rounds"][round - 1]
        assert counts["used"] + counts["leased"] <= cap
        answers = [a for a in queue.answers() if a.item.round == round]
        assert counts["used"] == len(answers)
        for i in queue.items(round):
            assert len({a.annotator for a in answers if a.item_id == i.id}) <= i.need
    assert queue.verify() == []
    for who in ("ann", "bob", "cid"):
        queue.release_all(who)
    queue.close()
