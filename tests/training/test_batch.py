"""How verdicts and labels become what the learner learns from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from superalign.records import ExpertLabel, Judgement, Response, content_id
from superalign.training.batch import balanced, fuse_preferences, preference, score_responses
from tests.training.algorithms.parts import ASK, said


def point(answer: Response, p: float, abstained: bool = False) -> Judgement:
    identity = content_id("point", answer.id)
    return Judgement(identity, "point", answer.query_id, answer.id, "", "c", 0.0, p, 0.0, False, abstained, 0)


def test_an_expert_overrules_the_critic_and_weak_evidence_weighs_nothing() -> None:
    good, bad, unclear = said("yes"), said("no"), said("well")
    points = [point(good, 0.9), point(bad, 0.8), point(unclear, 0.55, abstained=True)]
    label = ExpertLabel("l", points[1].id, "point", "ann", 0.0, 1.0, "drawn", 1, True)
    first, second, third = score_responses([(ASK, r) for r in (good, bad, unclear)], points, [label], {"ann": 0.05})
    assert first.p == pytest.approx(0.9) and first.w == pytest.approx(0.64)
    assert second.p < 0.3 and second.w > 0
    assert (third.p, third.w) == (0.5, 0.0)


def test_the_likelier_better_answer_of_a_pair_is_chosen() -> None:
    first, second = said("no"), said("yes")
    judged = Judgement("j", "pair", ASK.id, first.id, second.id, "c", 0.0, 0.2, 0.0, False, False, 0)
    (found,) = fuse_preferences([(ASK, first, second)], [judged], [], {})
    assert (found.chosen[0]["content"], found.rejected[0]["content"]) == ("yes", "no")
    assert found.q == pytest.approx(0.8)
    assert fuse_preferences([(ASK, first, second)], [replace(judged, abstained=True)], [], {}) == []


def test_in_balance_declining_and_helping_weigh_the_same_in_all() -> None:
    harmless = replace(ASK, id="harmless", kind="benign")
    harmful = replace(ASK, id="harmful", kind="harmful")
    pairs = [
        preference(query, said(f"yes {n}"), said(f"no {n}"), 0.9, w, "critic")
        for n, (query, w) in enumerate(
            [(harmful, 0.9), (harmful, 0.6), (harmful, 0.5), (harmless, 0.3), (harmless, 0.1)]
        )
    ]
    found = balanced(pairs, [harmful, harmless])
    assert [each.w for each in found] == pytest.approx([0.54, 0.36, 0.3, 0.9, 0.3])
    assert [replace(each, w=0.0) for each in found] == [replace(each, w=0.0) for each in pairs]
    assert balanced(pairs[:3], [harmful]) == pairs[:3] and balanced([], []) == []
