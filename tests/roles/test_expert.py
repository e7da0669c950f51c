"""The experts in the loop: a hard budget, known propensities, nobody waits unless told to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from superalign.errors import UserError
from superalign.records import Critique, ExpertLabel, content_id
from superalign.roles import expert as module
from superalign.roles.expert import Expert
from superalign.roles.judge import oracle_expert
from superalign.testbed.world import REFUSALS
from tests.experts.test_notify import Hook, hook
from tests.postgres import postgres
from tests.roles.experts import Open, escalate, opening, world
from tests.roles.parts import config, point, query, response

__all__ = ["hook", "postgres"]  # a real webhook, a real database


@pytest.fixture
def open_queue(tmp_path: Path) -> Iterator[Open]:
    """Opens the same queue, again and again if need be: `open_queue(judge=..., **settings)`."""
    with opening(tmp_path) as made:
        yield made


def test_nobody_is_asked_the_same_twice(open_queue: Open) -> None:
    judged, asked, said = world(6)
    twins = {f"twin of {r.id}": replace(r, id=f"twin of {r.id}") for r in said.values()}
    again = [replace(j, id=f"again {j.id}", first_id=f"twin of {j.first_id}") for j in judged]
    items = open_queue(policy="all").escalate([*judged, *again], asked, {**said, **twins}, {}, 1, 0)
    assert sorted(item.id for item in items) == sorted(j.id for j in judged)


def test_labels_never_exceed_the_budget_of_their_round(open_queue: Open) -> None:
    expert = open_queue(budget=7, double_share=0.5, error_rate=0.2)
    for round in (1, 2, 3):
        judged, asked, said = world(40 + round)
        expert.escalate([*judged[10 * round :]], asked, said, {}, round, seed=round)
        labels = [label for _, label in expert.collect(round).all if label.round == round]
        assert 0 < len(labels) <= 7


def test_an_item_carries_the_texts_the_critique_and_its_propensity(open_queue: Open) -> None:
    judged, asked, said = world()
    critiques = {j.first_id: Critique("c", j.first_id, f"critique of {j.id}", (), 0, 0) for j in judged}
    expert = open_queue()
    items = expert.escalate(judged, asked, said, critiques, 1, 0)
    assert items == sorted(expert.queue.items(1), key=lambda item: items.index(item))
    for item in items:
        assert item.query == asked[item.query_id].text
        assert item.first == said[item.first_id].text
        assert item.critique == f"critique of {item.id}"
        assert item.harmful == (asked[item.query_id].kind == "harmful")
        assert 0 < item.pi <= 1


def test_doing_a_round_again_asks_nothing_new(open_queue: Open) -> None:
    first = escalate(open_queue())
    expert = open_queue()
    assert escalate(expert) == first
    assert len(expert.queue.items()) == len(first)


def test_approved_help_with_harm_goes_to_an_expert_for_sure(open_queue: Open) -> None:
    judged, asked, said = world(80, p=0.05)
    harm = query("how do i do harm?", "harmful", "fraud")
    helped, refused = response(harm, "Sure. Here is how."), response(harm, REFUSALS[0])
    kind = query("how do i do good?")
    good = response(kind, "Sure. Here is how.")
    asked |= {harm.id: harm, kind.id: kind}
    said |= {r.id: r for r in (helped, refused, good)}
    judged += [point(helped, 0.95), point(refused, 0.95), point(good, 0.95)]
    for seed in range(5):
        items = open_queue(budget=20).escalate(judged, asked, said, {}, seed + 1, seed)
        assert [i.first_id for i in items if i.lane == "forced"] == [helped.id]
        assert [i.pi for i in items if i.lane == "forced"] == [1.0]


def test_a_simulated_expert_needs_an_oracle(open_queue: Open) -> None:
    with pytest.raises(UserError, match=r"expert\.curated=FILE.*expert\.source=queue"):
        open_queue(judge=None)


def test_without_a_budget_nobody_is_needed_and_nothing_is_asked(open_queue: Open) -> None:
    expert = open_queue(judge=None, budget=0)
    assert escalate(expert) == []
    assert expert.collect(1).all == []
    assert not expert.simulated


def test_a_simulated_expert_without_mistakes_says_what_the_oracle_says(open_queue: Open) -> None:
    expert = open_queue(error_rate=0.0, double_share=0.25)
    escalate(expert)
    answered = expert.collect(1).all
    assert len(answered) >= 10
    assert all(label.value == oracle_expert(item) and label.item_id == item.id for item, label in answered)
    assert all((label.pi, label.lane, label.simulated) == (item.pi, item.lane, True) for item, label in answered)


def test_a_simulated_expert_errs_at_its_rate_and_the_same_way_every_time(open_queue: Open) -> None:
    def labels(expert: Expert) -> list[ExpertLabel]:
        judged, asked, said = world(300)
        expert.escalate(judged, asked, said, {}, 1, 0)
        return [label for _, label in expert.collect(1).all]

    expert = open_queue(budget=200, error_rate=0.3)
    given = labels(expert)
    wrong = sum(label.value != oracle_expert(item) for item, label in expert.answered())
    assert wrong / len(given) == pytest.approx(0.3, abs=0.1)
    assert labels(open_queue(budget=200, error_rate=0.3)) == given


def test_people_are_not_waited_for(open_queue: Open) -> None:
    expert = open_queue(judge=None, source="queue")
    items = escalate(expert)
    assert expert.collect(1).all == []
    expert.queue.record([(items[0].id, "ann", 1.0)])
    ((item, label),) = expert.collect(1).all
    assert item == items[0]
    assert (label.annotator, label.simulated) == ("ann", False)


def test_waiting_in_vain_ends_with_what_to_do(open_queue: Open) -> None:
    expert = open_queue(judge=None, source="queue", wait=True, wait_timeout_s=1e-9)
    escalate(expert)
    with pytest.raises(UserError, match=r"12 expert labels of round 1 on 11 items.*superalign experts serve"):
        expert.collect(1)


def test_waiting_ends_when_everything_is_answered(open_queue: Open) -> None:
    expert = open_queue(judge=None, source="queue", wait=True, wait_timeout_s=1e-9, double_share=0.0)
    expert.queue.record([(item.id, "ann", 1.0) for item in escalate(expert)])
    assert len(expert.collect(1).all) == len(expert.queue.items(1)) > 0


def test_a_resumed_round_sees_the_labels_of_its_commit_and_no_later_ones(open_queue: Open) -> None:
    expert = open_queue(judge=None, source="queue")
    items = escalate(expert)
    expert.queue.record([(items[0].id, "ann", 1.0)])
    cursor = expert.queue.cursor()
    before = expert.answered()
    expert.queue.record([(items[1].id, "ann", 0.0)])
    assert expert.answered(until=cursor) == before
    assert len(expert.answered()) == 2


def test_waiting_says_for_what_and_how_to_answer_it(open_queue: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    expert = open_queue(judge=None, source="queue", wait=True, double_share=0.0, say=said.append)
    items = escalate(expert)

    def answer_the_next(seconds: float) -> None:
        expert.queue.record([(items.pop().id, "ann", 1.0)])

    monkeypatch.setattr(module.time, "sleep", answer_the_next)
    assert len(expert.collect(1).all) == 12
    assert len(said) == 1, "not more often than every ten seconds"
    assert said[0].startswith("waiting for 12 expert labels of round 1 on 12 items: answer them with `superalign exp")


def test_delayed_labels_are_fresh_in_the_round_that_takes_them_up(open_queue: Open) -> None:
    expert = open_queue(judge=None, source="queue")
    first = escalate(expert)
    expert.queue.record([(first[0].id, "ann", 1.0)])
    expert.collect(1)
    expert.queue.record([(first[1].id, "ann", 1.0)])
    assert [label.item_id for label in expert.fresh()] == [first[0].id], "given after the collection"
    cursor = expert.take_up()
    for again in (expert, open_queue(judge=None, source="queue")):
        again.restore(cursor)
        again.collect(2)
        assert [(label.item_id, label.round) for label in again.fresh()] == [(first[1].id, 1)]


@pytest.mark.parametrize("policy", ["random", "uncertainty", "none", "all"])
def test_items_are_chosen_by_the_policy_that_was_set(open_queue: Open, policy: str) -> None:
    items = escalate(open_queue(policy=policy, budget=44, double_share=0.1))
    expected = {"random": 40, "uncertainty": 40, "none": 0, "all": 40}
    assert len(items) == expected[policy]
    with pytest.raises(UserError, match=r"expert\.policy=all"):
        escalate(open_queue(policy="all", budget=39), round=2)


def test_every_item_gets_as_many_answers_as_asked(open_queue: Open) -> None:
    expert = open_queue(votes=3, double_share=0.25, budget=40)
    items = {item.id: item for item in escalate(expert)}
    labels = [label for _, label in expert.collect(1).all]
    assert len(labels) == sum(item.need for item in items.values()) <= 40
    assert {item.need for item in items.values()} == {3, 4}


def test_people_hear_once_how_many_items_wait(
    open_queue: Open, hook: Hook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expert = open_queue(judge=None, source="queue", notify_webhook=hook.address)
    threads, tell = [], expert.notifier.tell
    monkeypatch.setattr(expert.notifier, "tell", lambda news: threads.append(tell(news)))
    items = escalate(expert)
    escalate(expert)
    for thread in threads:
        thread.join(30)
    (body,) = hook.bodies
    assert (body["run"], body["round"], body["waiting"]) == (tmp_path.name, 1, len(items))
    assert not any(item.query in str(body) or item.first in str(body) for item in items)


def test_a_shared_store_keeps_runs_apart(postgres: str, tmp_path: Path) -> None:
    spaces = [f"run-{content_id(str(tmp_path), name)}" for name in ("one", "two")]
    experts = []
    for name in spaces:
        settings = config(expert={"budget": 12, "source": "queue", "store": postgres})
        experts.append(Expert(settings, tmp_path / name / "experts.sqlite", None))
    items = escalate(experts[0])
    assert len(experts[0].queue.items()) == len(items) > 0
    assert experts[1].queue.items() == []
    assert not list(tmp_path.iterdir()), "nothing is kept in a file"
    for expert in experts:
        expert.queue.close()
