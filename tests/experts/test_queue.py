"""The queue: a hard budget, leases, append-only labels; real processes on one real file."""

import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

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
def queue(tmp_path: Path, clock: Clock) -> ExpertQueue:
    return ExpertQueue(tmp_path / "experts.sqlite", clock)


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
    rows = sqlite3.connect(queue.path).execute("SELECT value, supersedes FROM label ORDER BY seq").fetchall()
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


def test_a_file_that_is_no_queue_or_of_another_version_is_named(tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.sqlite"
    stranger.write_bytes(b"this is no database, it only looks like a file" * 50)
    with pytest.raises(UserError, match=r"stranger\.sqlite"):
        ExpertQueue(stranger)
    newer = tmp_path / "newer.sqlite"
    with sqlite3.connect(newer) as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(UserError, match="format 99"):
        ExpertQueue(newer)
    with pytest.raises(UserError, match="cannot open"):
        ExpertQueue(tmp_path / "missing" / "experts.sqlite")


def test_an_annotator_without_a_name_is_refused(queue: ExpertQueue) -> None:
    with pytest.raises(UserError, match="name"):
        queue.claim("  ", 60)


def test_the_file_is_readable_by_its_owner_only(queue: ExpertQueue) -> None:
    assert queue.path.stat().st_mode & 0o077 == 0


def test_a_disk_that_is_full_loses_no_acknowledged_label(queue: ExpertQueue) -> None:
    queue.push([item(1), item(2, query="x" * 20_000)], 1, 5)
    answer(queue, "ann")
    queue._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    pages = queue._db.execute("PRAGMA page_count").fetchone()[0]
    queue._db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(UserError, match="full"):
        queue.push([item(3, round=2, query="y" * 50_000)], 2, 5)
    queue._db.execute("PRAGMA max_page_count=1000000")
    assert len(queue.labels()) == 1
    assert len(queue.items()) == 2
    answer(queue, "ann")


def work(path: str, who: str) -> None:
    queue = ExpertQueue(path)
    while (leased := queue.claim(who, 60)) is not None:
        queue.submit(leased.token, 1.0)


def test_the_budget_holds_when_many_processes_race_for_the_last_labels(tmp_path: Path) -> None:
    path = tmp_path / "experts.sqlite"
    context = multiprocessing.get_context("spawn")
    ExpertQueue(path).push([item(i, double=i % 3 == 0) for i in range(60)], 1, 47)
    workers = [context.Process(target=work, args=(str(path), f"ann{n}")) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    queue = ExpertQueue(path)
    labels = queue.labels()
    assert len(labels) == 47
    assert len({(label.item_id, label.annotator) for label in labels}) == 47
    doubles = {i.id for i in queue.items() if i.double}
    singles = [label.item_id for label in labels if label.item_id not in doubles]
    assert len(singles) == len(set(singles))


def test_many_processes_may_create_the_queue_at_once(tmp_path: Path) -> None:
    code = "import sys; from superalign.experts.queue import ExpertQueue; ExpertQueue(sys.argv[1])"
    path = str(tmp_path / "experts.sqlite")
    openers = [subprocess.Popen([sys.executable, "-c", code, path]) for _ in range(6)]
    assert [opener.wait(60) for opener in openers] == [0] * 6


SUBMITTER = """
import sys
from superalign.experts.queue import ExpertQueue
queue = ExpertQueue(sys.argv[1])
while (leased := queue.claim("ann", 5)) is not None:
    print(queue.submit(leased.token, 1.0).id, flush=True)
"""


@pytest.mark.parametrize("lines", [1, 7, 30])
def test_a_submitter_killed_at_any_moment_loses_no_acknowledged_label(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "experts.sqlite"
    clock = Clock()
    queue = ExpertQueue(path)
    queue.push([item(i) for i in range(400)], 1, 400)
    process = subprocess.Popen(
        [sys.executable, "-c", SUBMITTER, str(path)], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stdout is not None
    acknowledged = [process.stdout.readline() for _ in range(lines)]
    process.send_signal(signal.SIGKILL)
    acknowledged += process.stdout.readlines()
    process.wait()
    whole = {line.strip() for line in acknowledged if line.endswith("\n")}
    reopened = ExpertQueue(path)
    stored = {label.id for label in reopened.labels()}
    assert len(whole) >= lines
    assert whole <= stored
    assert len(stored) <= len(whole) + 1
    clock.now = 1e12
    assert ExpertQueue(path, clock).claim("ann", 5) is not None
