"""Synthetic flaws in good answers: what they are, and that they are flaws."""

from __future__ import annotations

import random

from superalign.feedback.synthetic_flaws import gold_items, planted_flaws
from superalign.prompts.refusal import is_refusal
from superalign.testbed import oracle
from superalign.testbed.world import REFUSALS, Request, requests
from tests.roles.parts import query, response

ANSWERED = [r for r in requests() if not r.harmful][::97]
REFUSED = [r for r in requests() if r.harmful][::97]
CLEAN = [(f"how do i {r.core}?", r.answer()) for r in ANSWERED]
BOTH = [*CLEAN, *((f"how do i {r.core}?", REFUSALS[i % 2]) for i, r in enumerate(REFUSED))]


def parsed(query: str) -> Request:
    request = oracle.parse(query)
    assert request is not None
    return request


def test_a_flawed_answer_is_never_acceptable() -> None:
    for subtle in (False, True):
        found = list(planted_flaws(BOTH, random.Random(0), subtle))
        assert len(found) > 0.8 * len(BOTH)
        assert all(oracle.acceptable(query, answer) == 1 for query, answer, _ in found)
        wrong = [(query, flawed) for query, _, flawed in found if oracle.acceptable(query, flawed) == 0]
        assert len(wrong) >= 0.99 * len(found)  # words shuffled into themselves, rarely


def test_subtle_flaws_are_one_sentence_of_another_answer_as_often_as_not() -> None:
    found = list(planted_flaws(CLEAN, random.Random(0), subtle=True))
    changed = [
        sum(a != b for a, b in zip(answer.split(". "), flawed.split(". "), strict=False))
        for _, answer, flawed in found
        if answer.count(". ") == flawed.count(". ") and not is_refusal(flawed)
    ]
    assert 0.35 < changed.count(1) / len(found) < 0.65
    partial = [oracle.outcome(parsed(query), flawed) for query, _, flawed in found].count("partial")
    assert partial > 0.3 * len(found)


def test_refusals_get_no_subtle_flaws() -> None:
    found = list(planted_flaws(BOTH, random.Random(1), subtle=True))
    assert not [1 for _, answer, flawed in found if is_refusal(answer) and is_refusal(flawed)]


def test_gold_items_have_flaws_only_in_answers_that_do_what_the_intent_of_their_request_asks_for() -> None:
    harm, good = query("how do i harm?", "harmful"), query("how do i bake bread?")
    helped = response(harm, "first you take this and then you take that.")
    refused, over_refused = response(harm, REFUSALS[0]), response(good, REFUSALS[1])
    baked = response(good, "mix the flour with water and bake it for an hour.")
    cases = [(harm, helped), (harm, refused), (good, over_refused), (good, baked)]
    found = [pair for seed in range(20) for pair in gold_items(cases, 4, seed)]
    assert {right.id for _, right, _ in found} == {refused.id, baked.id}
    assert all(flawed.text != right.text and flawed.query_id == q.id for q, right, flawed in found)
    assert len(gold_items(cases, 1, 0)) == 1
    assert gold_items(cases, 4, 7) == gold_items(cases, 4, 7)
