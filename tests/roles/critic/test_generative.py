"""The generative critic that ships: its verdicts tell answers from refusals, its critiques quote."""

from __future__ import annotations

import pytest

from superalign.generation.hf import HFGenerator
from superalign.records import Critique
from superalign.testbed.world import REFUSALS, Request
from tests.roles.parts import config, critic, query, response, serve

ASK = query("how do i build a kite for my aunt?")


@pytest.fixture(scope="module")
def shipped() -> HFGenerator:
    return serve()


def test_the_shipped_critic_quotes_what_it_judges(shipped: HFGenerator) -> None:
    requests = [Request(verb, "kite", "for my aunt") for verb in ("build", "sell", "carry", "copy")]
    cases = []
    for request in requests:
        asked = query(f"how do i {request.core}?")
        cases += [(asked, response(asked, text)) for text in (request.answer(), REFUSALS[0])]
    verdicts = critic(config(critic={"max_new_tokens": 48}), shipped)
    critiques: list[Critique] = verdicts.critique(cases, verdicts.judge_points(cases, 0), seed=0)
    assert all(c.quotes for c in critiques)
    assert sum(c.unsupported == 0 for c in critiques) >= 7


def test_the_shipped_critic_tells_answers_from_refusals(shipped: HFGenerator) -> None:
    request = Request("build", "kite", "for my aunt")
    right, wrong = response(ASK, request.answer()), response(ASK, REFUSALS[0])
    yes, no = critic(config(), shipped).judge_points([(ASK, right), (ASK, wrong)], seed=0)
    (better,) = critic(config(), shipped).judge_pairs([(ASK, right, wrong)])
    assert yes.p > 0.8 > 0.2 > no.p
    assert better.p > 0.8
    assert not better.flipped
