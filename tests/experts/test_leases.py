"""Leases: an item is held by one annotator at a time, for a time; on a real SQLite file and a real PostgreSQL."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from superalign.experts.items import LeaseLost
from superalign.experts.queue import ExpertQueue
from tests.experts.test_queue import Clock, answer, clock, item, pair, queue

__all__ = ["clock", "queue"]


def test_the_next_item_of_a_long_queue_is_looked_up_not_sorted_for(queue: ExpertQueue) -> None:
    queue.push([item(i) for i in range(600)], 1, 600)
    engine, plans = queue.database._engine, list[str]()
    explain = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"

    @event.listens_for(engine, "before_cursor_execute")
    def planned(connection, cursor, statement, given, *rest):  # type: ignore[no-untyped-def]
        if "ORDER BY forced" in statement:
            cursor.execute(f"{explain} {statement}", given)
            plans.append(" ".join(str(column) for row in cursor.fetchall() for column in row))

    assert queue.claim("ada", 60) is not None
    [plan] = plans
    assert "item_open" in plan and "Sort" not in plan and "TEMP B-TREE" not in plan


def test_a_budget_of_zero_leases_nothing(queue: ExpertQueue) -> None:
    queue.push([item(1)], 1, 0)
    assert queue.claim("ann", 60) is None
    assert queue.pending(1) == 0


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


def test_unknown_leases_given_back_leases_and_odd_values_are_refused(queue: ExpertQueue) -> None:
    queue.push([item(1)], 1, 5)
    for token in ("nonsense", "", "a\0b", "\ud800", "' OR 1=1 --"):
        with pytest.raises(LeaseLost, match="no such lease"):
            queue.submit(token, 1.0)
        queue.release(token)
        assert queue.held(token) is None
        with pytest.raises(ValueError, match="no label"):
            queue.undo(token)
    leased = queue.claim("ann", 60)
    assert leased is not None
    with pytest.raises(ValueError, match=r"0\.7"):
        queue.submit(leased.token, 0.7)
    queue.release(leased.token)
    with pytest.raises(LeaseLost, match="given back"):
        queue.submit(leased.token, 1.0)


def test_nobody_holds_a_double_twice_at_once(queue: ExpertQueue) -> None:
    queue.push([item(1, double=True)], 1, 5)
    assert queue.claim("ann", 60) is not None
    assert queue.claim("ann", 60) is None
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


def test_each_of_two_leases_is_found_by_its_token_and_by_nobody_else(queue: ExpertQueue, clock: Clock) -> None:
    queue.push([item(1), item(2)], 1, 9)
    first, second = queue.claim("ann", 60), queue.claim("ann", 60)
    assert first and second
    assert [queue.held("ann", lease.token) for lease in (first, second)] == [first, second]
    assert queue.held("bob", first.token) is queue.held("ann", "nonsense") is None
    clock.now += 60
    assert queue.held("ann", second.token) is None


def test_who_wants_no_other_item_gets_the_one_at_hand(queue: ExpertQueue, clock: Clock) -> None:
    queue.push([item(1), item(2)], 1, 9)
    first = queue.claim("ann", 60, another=False)
    assert first is not None
    assert queue.claim("ann", 60, another=False) == first
    clock.now += 1
    assert queue.claim("bob", 60, another=False) != first
    clock.now += 60
    again = queue.claim("ann", 60, another=False)
    assert again is not None and again.token != first.token


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
