"""The audit log tells every action and finds every row that was changed behind its back."""

from collections.abc import Callable

import pytest

from superalign.experts.queue import ExpertQueue
from superalign.experts.users import Users
from tests.experts.test_queue import Clock, answer, item


@pytest.fixture
def queue(open_queue: Callable[..., ExpertQueue]) -> ExpertQueue:
    queue = open_queue(clock=Clock())
    queue.push([item(i) for i in range(5)], 1, 9)
    answer(queue, "ann")
    queue.undo(answer(queue, "ann"))
    answer(queue, "bob", 0.0)
    Users(queue).add("ann", "annotator")
    return queue


def tamper(queue: ExpertQueue, *statements: str) -> list[str]:
    assert queue.verify() == []
    with queue.database.write() as db:
        for statement in statements:
            db.exec_driver_sql(statement)
    return queue.verify()


def test_every_action_is_told_with_its_actor(open_queue: Callable[..., ExpertQueue]) -> None:
    queue = open_queue(clock=Clock())
    queue.push([item(1, blind=True), item(2)], 1, 9)
    leased = queue.claim("ann", 60)
    assert leased
    queue.reveal(leased.token)
    queue.answer_alone(leased.token, 0.5)
    label = queue.submit(leased.token, 1.0)
    queue.undo(label.id)
    for who, skip in (("bob", True), ("cid", False)):
        leased = queue.claim(who, 60)
        assert leased
        queue.release(leased.token, skip=skip)
    leased = queue.claim("dan", 60)
    assert leased
    queue.flag(leased.token, "unclear")
    queue.record([("item002", "eve", 1.0)], source="answers.jsonl")
    assert [(e.actor, e.action, e.subject.partition(" ")[0], e.detail) for e in queue.audit()] == [
        ("superalign", "open", "round", ""),
        ("superalign", "push", "item", ""),
        ("superalign", "push", "item", ""),
        ("ann", "claim", "item", ""),
        ("ann", "reveal", "item", ""),
        ("ann", "answer alone", "item", "0.5"),
        ("ann", "answer", "label", ""),
        ("ann", "undo", "label", ""),
        ("bob", "claim", "item", ""),
        ("bob", "skip", "item", ""),
        ("cid", "claim", "item", ""),
        ("cid", "release", "item", ""),
        ("dan", "claim", "item", ""),
        ("dan", "flag", "item", "unclear"),
        ("eve", "record", "label", "answers.jsonl"),
    ]
    assert [e.seq for e in queue.audit()] == list(range(1, 16))
    assert queue.verify() == []


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE label SET value = 0.0 WHERE seq = 1", "was edited"),
        ("UPDATE label SET annotator = 'eve' WHERE seq = 1", "was edited"),
        ("UPDATE label SET critique = 'x' WHERE seq = 2", "was edited"),
        ("DELETE FROM label WHERE seq = 3", "was deleted"),
        (
            "INSERT INTO label(seq, id, item_id, annotator, value, simulated, created_at) "
            "VALUES (9, 'forged', 'item004', 'eve', 1.0, (1 = 0), 1.0)",
            "label forged was inserted",
        ),
        ("UPDATE item SET pi = 0.5 WHERE id = 'item003'", "item item003 was edited"),
        ("UPDATE item SET payload = replace(payload, '0.25', '0.75') WHERE id = 'item003'", "item item003 was edited"),
        ("DELETE FROM item WHERE id = 'item004'", "item item004 was deleted"),
        ("UPDATE item SET answers = 0 WHERE id = 'item000'", "count of labels of item item000 is wrong"),
        ("UPDATE budget SET cap = 99", "round 1 was edited"),
        ("UPDATE budget SET used = 0", "count of labels of round 1 is wrong"),
        ("UPDATE person SET role = 'admin'", "person ann was edited"),
        ("UPDATE audit SET actor = 'eve' WHERE seq = 8", "audit 8 was edited"),
        ("UPDATE audit SET detail = 'x' WHERE seq = 1", "audit 1 was edited"),
        ("DELETE FROM audit WHERE seq = 7", "audit 7 is missing"),
        ("DELETE FROM audit WHERE seq BETWEEN 7 AND 9", "audit 7 to 9 is missing"),
        ("DELETE FROM audit WHERE seq > 12", "the log ends at audit 12"),
        ("UPDATE head SET seq = 99", "the log ends at audit"),
    ],
)
def test_a_row_changed_behind_the_logs_back_is_found(queue: ExpertQueue, statement: str, found: str) -> None:
    assert any(found in fault for fault in tamper(queue, statement))


def test_rows_of_the_log_that_changed_places_are_found(queue: ExpertQueue) -> None:
    faults = tamper(
        queue,
        "UPDATE audit SET seq = -1 WHERE seq = 7",
        "UPDATE audit SET seq = 7 WHERE seq = 8",
        "UPDATE audit SET seq = 8 WHERE seq = -1",
    )
    assert any("audit 7 was edited, inserted or moved" in fault for fault in faults)
    assert any("audit 8 was edited, inserted or moved" in fault for fault in faults)


def test_labels_that_changed_places_are_found(queue: ExpertQueue) -> None:
    faults = tamper(
        queue,
        "UPDATE label SET seq = -1 WHERE seq = 1",
        "UPDATE label SET seq = 1 WHERE seq = 2",
        "UPDATE label SET seq = 2 WHERE seq = -1",
    )
    assert sum("was edited" in fault for fault in faults) == 2


def test_a_log_rewritten_from_an_edited_row_on_no_longer_fits_the_next(queue: ExpertQueue) -> None:
    entry = queue.audit()[9]
    forged = type(entry)(
        entry.seq, entry.at, "eve", entry.action, entry.subject, entry.digest, entry.detail, ""
    ).expected(queue.audit()[8].hash)
    faults = tamper(queue, f"UPDATE audit SET actor = 'eve', hash = '{forged}' WHERE seq = {entry.seq}")
    assert faults == [f"audit {entry.seq + 1} was edited, inserted or moved"]
