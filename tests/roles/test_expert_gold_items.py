"""Gold items and blind ones: asked of people alone, paid from the budget, told by nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from superalign.experts.items import Item
from superalign.prompts.refusal import is_refusal
from superalign.records import Judgement, content_id
from superalign.roles.critic.verdicts import ResponsePair
from superalign.roles.expert import Expert
from superalign.testbed import oracle
from tests.experts.test_notify import Hook, hook
from tests.roles.experts import Open, opening, world
from tests.roles.parts import point

__all__ = ["hook"]  # a real webhook


@pytest.fixture
def open_queue(tmp_path: Path) -> Iterator[Open]:
    """Opens the same queue, again and again if need be: `open_queue(judge=..., **settings)`."""
    with opening(tmp_path) as made:
        yield made


def compare(pairs: Sequence[ResponsePair]) -> list[Judgement]:
    """A critic that finds each first answer better."""
    return [
        replace(point(first, 0.8), id=content_id("pair", first.id, second.id), kind="pair", second_id=second.id)
        for _, first, second in pairs
    ]


def for_people(expert: Expert, count: int = 80, seed: int = 0) -> list[Item]:
    """Escalate from answers that the critic is sure of."""
    judged, asked, said = world(count, p=0.95)
    return expert.escalate(judged, asked, said, {}, 1, seed, compare)


def test_errors_of_annotators_are_told_from_gold_items_as_well(open_queue: Open) -> None:
    expert = open_queue(judge=None, source="queue", budget=40, gold_share=0.5, double_share=0.0, blind_share=0.0)
    items = for_people(expert)
    gold_items = [item for item in items if item.gold is not None]
    assert len(gold_items) > 5
    while leased := expert.queue.claim("ann", 60):
        wrong = leased.item.gold is not None
        expert.queue.submit(leased.token, leased.item.as_shown(0.0 if wrong else 1.0))
    labels = expert.collect(1)
    assert all(item.gold is None for item, _ in labels.all)
    assert labels.error_rates == {"ann": pytest.approx((2 + len(gold_items)) / (20 + len(gold_items)))}
    open_still = expert.error_draws(labels.all, 200, 0)["ann"]  # what corrections are made with
    assert open_still.shape == (200,) and open_still.mean() == pytest.approx(labels.error_rates["ann"], abs=0.02)
    assert open_queue(judge=None, source="queue").errors([]) == {}, "before the first collection nothing is known"


def test_gold_items_are_for_people_and_paid_from_the_budget(open_queue: Open) -> None:
    expert = open_queue(judge=None, source="queue", budget=40, gold_share=0.1, double_share=0.0)
    items = for_people(expert)
    planted = [item for item in items if item.gold is not None]
    assert (len(items), len(planted)) == (40, 4)
    drawn = {(item.pi, item.lane) for item in items if item.gold is None}
    for item in planted:
        assert (item.kind, item.gold, item.p, item.blind) == ("pair", 1.0, 0.8, True)
        assert (item.pi, item.lane) in drawn
        assert oracle.acceptable(item.query, item.first) > oracle.acceptable(item.query, item.second)
        assert item.harmful == is_refusal(item.first)
    assert items.index(planted[-1]) < 39 or items.index(planted[0]) < 36, "they are not all at the end"
    assert {item.id for item in for_people(expert)} == {item.id for item in items}
    expert.queue.record([(item.id, "ann", 1.0) for item in items])
    assert {item.id for item, _ in expert.collect(1).all} == {item.id for item in items if item.gold is None}


def test_half_of_the_items_are_blind_for_people_and_none_otherwise(open_queue: Open) -> None:
    blind = [item.blind for item in for_people(open_queue(judge=None, source="queue", budget=80), 300)]
    assert 0.3 < sum(blind) / len(blind) < 0.7


def test_a_simulated_expert_gets_neither_gold_items_nor_blind_items_nor_news(open_queue: Open, hook: Hook) -> None:
    expert = open_queue(budget=40, notify_webhook=hook.address, gold_share=0.1)
    items = for_people(expert)
    assert [item.id for item in items] == [item.id for item in open_queue(budget=40).queue.items(1)]
    judged, asked, said = world(80, p=0.95)
    assert expert.escalate(judged, asked, said, {}, 1, 0) == items, "whether the critic could compare or not"
    assert not any(item.blind or item.gold is not None for item in items)
    assert hook.bodies == []
