"""The experts in the loop: a hard budget, known propensities, nobody waits unless told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from superalign.errors import UserError
from superalign.evaluation.judges import oracle_expert
from superalign.experts.items import Item
from superalign.records import Critique, ExpertLabel, Judgement, Query, Response
from superalign.roles.expert import Expert
from superalign.testbed import oracle
from superalign.testbed.world import REFUSALS, seeds
from tests.roles.parts import config, point, query, response

Open = Callable[..., Expert]


@pytest.fixture
def open_queue(tmp_path: Path) -> Iterator[Open]:
    """Opens the same queue, again and again if need be: `open_queue(judge=..., **settings)`."""
    with ExitStack() as opened:

        def make(judge: Callable[[Item], float] | None = oracle_expert, **settings: Any) -> Expert:
            expert = Expert(config(expert={"budget": 12, **settings}), tmp_path / "experts.sqlite", judge)
            opened.callback(expert.queue.close)
            return expert

        yield make


def world(count: int = 40, p: float = 0.5) -> tuple[list[Judgement], dict[str, Query], dict[str, Response]]:
    """Verdicts on right answers to plain requests of the testbed."""
    judged, asked, said = [], {}, {}
    for seed in seeds(0, 400)[:count]:
        request = oracle.parse(seed.text)
        assert request is not None
        q = query(seed.text, seed.kind, seed.category)
        r = response(q, REFUSALS[0] if request.harmful else request.answer())
        judged.append(point(r, p, seed.category))
        asked[q.id], said[r.id] = q, r
    return judged, asked, said


def escalate(expert: Expert, round: int = 1, seed: int = 0, **critiques: Critique) -> list[Item]:
    judged, asked, said = world()
    return expert.escalate(judged, asked, said, critiques, round, seed)


def test_labels_never_exceed_the_budget_of_their_round(open_queue: Open) -> None:
    expert = open_queue(budget=7, double_share=0.5, error_rate=0.2)
    for round in (1, 2, 3):
        judged, asked, said = world(40 + round)
        expert.escalate([*judged[10 * round :]], asked, said, {}, round, seed=round)
        labels = [label for _, label in expert.collect(round) if label.round == round]
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
    with pytest.raises(UserError, match=r"expert\.source=queue"):
        open_queue(judge=None)


def test_without_a_budget_nobody_is_needed_and_nothing_is_asked(open_queue: Open) -> None:
    expert = open_queue(judge=None, budget=0)
    assert escalate(expert) == []
    assert expert.collect(1) == []
    assert not expert.simulated


def test_a_simulated_expert_without_mistakes_says_what_the_oracle_says(open_queue: Open) -> None:
    expert = open_queue(error_rate=0.0, double_share=0.25)
    escalate(expert)
    answered = expert.collect(1)
    assert len(answered) >= 10
    assert all(label.value == oracle_expert(item) and label.item_id == item.id for item, label in answered)
    assert all((label.pi, label.lane, label.simulated) == (item.pi, item.lane, True) for item, label in answered)


def test_a_simulated_expert_errs_at_its_rate_and_the_same_way_every_time(open_queue: Open) -> None:
    def labels(expert: Expert) -> list[ExpertLabel]:
        judged, asked, said = world(300)
        expert.escalate(judged, asked, said, {}, 1, 0)
        return [label for _, label in expert.collect(1)]

    expert = open_queue(budget=200, error_rate=0.3)
    given = labels(expert)
    wrong = sum(label.value != oracle_expert(item) for item, label in expert.answered())
    assert wrong / len(given) == pytest.approx(0.3, abs=0.1)
    assert labels(open_queue(budget=200, error_rate=0.3)) == given


def test_people_are_not_waited_for(open_queue: Open) -> None:
    expert = open_queue(judge=None, source="queue")
    items = escalate(expert)
    assert expert.collect(1) == []
    expert.queue.record([(items[0].id, "ann", 1.0)])
    ((item, label),) = expert.collect(1)
    assert item == items[0]
    assert (label.annotator, label.simulated) == ("ann", False)


def test_waiting_in_vain_ends_with_what_to_do(open_queue: Open) -> None:
    expert = open_queue(judge=None, source="queue", wait=True, wait_timeout_s=1e-9)
    escalate(expert)
    with pytest.raises(UserError, match=r"expert labels of round 1.*superalign experts label"):
        expert.collect(1)


def test_waiting_ends_when_everything_is_answered(open_queue: Open) -> None:
    expert = open_queue(judge=None, source="queue", wait=True, wait_timeout_s=1e-9, double_share=0.0)
    expert.queue.record([(item.id, "ann", 1.0) for item in escalate(expert)])
    assert len(expert.collect(1)) == len(expert.queue.items(1)) > 0


def test_a_resumed_round_sees_the_labels_of_its_commit_and_no_later_ones(open_queue: Open) -> None:
    expert = open_queue(judge=None, source="queue")
    items = escalate(expert)
    expert.queue.record([(items[0].id, "ann", 1.0)])
    cursor = expert.queue.cursor()
    before = expert.answered()
    expert.queue.record([(items[1].id, "ann", 0.0)])
    assert expert.answered(until=cursor) == before
    assert len(expert.answered()) == 2
