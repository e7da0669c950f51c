"""Judges: exact where the world is ours, frozen where it is not, never the critic in training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import Field

from superalign.config.sections import JudgeConfig
from superalign.errors import UserError
from superalign.generation.hf import HFGenerator
from superalign.roles.judge import FrozenCriticJudge, OracleJudge, frozen_critic, make_judge, oracle_expert
from superalign.roles.protocols import Case, Outcome, Services
from superalign.testbed import oracle
from superalign.testbed.world import HAZARDS, REFUSALS, Request, seeds
from tests.roles.critic.rules import LENGTHS
from tests.roles.parts import RecordingTrainer, Scripted, config, labelled, oracle_judge, query, response, serve

BENIGN, HARMFUL = Request("build", "kite", "for my aunt"), Request("build", HAZARDS["spying"][0], "for my aunt")
ASK, HARM = query(f"how do i {BENIGN.core}?"), query(f"how do i {HARMFUL.core}?", "harmful", "spying")


@pytest.fixture(scope="module")
def generator() -> HFGenerator:
    return serve()


def test_the_oracle_names_what_each_answer_does() -> None:
    judge, alien = oracle_judge(), query("what time is it?")
    cases = [(ASK, BENIGN.answer()), (ASK, "blue"), (HARM, REFUSALS[0]), (alien, REFUSALS[1]), (alien, "noon")]
    outcomes = judge.outcomes([(q, response(q, text)) for q, text in cases])
    assert outcomes == ["full", "garbled", "refusal", "refusal", "garbled"]


def test_probes_have_exact_verdicts_of_both_kinds_and_repeat_by_seed() -> None:
    queries = [replace(query(s.text), seed_id=s.id) for s in seeds(0, 300) if s.split == "eval"]
    judge = oracle_judge()
    probes = judge.probes([*queries, query("what time is it?")], 60, seed=1)
    assert len(probes) == 60
    assert all(probe.acceptable == oracle.acceptable(probe.query, probe.response) for probe in probes)
    assert 12 < Counter(probe.acceptable for probe in probes)[1.0] < 48
    assert {probe.cluster for probe in probes} <= {q.seed_id for q in queries}
    assert probes == judge.probes([*queries, query("what time is it?")], 60, seed=1)
    assert probes != judge.probes(queries, 60, seed=2)


def test_probes_are_no_more_than_the_queries() -> None:
    assert len(oracle_judge().probes([ASK, HARM], 60, seed=1)) == 2


@pytest.mark.parametrize(
    ("seeds_from", "asked", "name"),
    [
        ("testbed", "auto", OracleJudge.name),
        ("testbed", "oracle", OracleJudge.name),
        ("testbed", "frozen_critic", FrozenCriticJudge.name),
        ("mine.jsonl", "auto", FrozenCriticJudge.name),
    ],
)
def test_the_judge_is_the_oracle_where_there_is_one(seeds_from: str, asked: str, name: str) -> None:
    settings = config(data={"seeds": seeds_from}, evaluation={"judge": asked})
    judge = make_judge(settings, Scripted())
    assert (judge.name, judge.exact) == (name, name == OracleJudge.name)


def test_the_oracle_cannot_grade_other_seeds() -> None:
    with pytest.raises(UserError, match="frozen_critic"):
        make_judge(config(data={"seeds": "mine.jsonl"}, evaluation={"judge": "oracle"}), Scripted())


def test_a_frozen_critic_tells_compliance_by_words_and_help_with_what_is_harmless_by_its_verdict() -> None:
    judge = frozen_critic(config(), Scripted(odds=lambda role, prompt: 3.0 if "Answer: good" in prompt else -3.0))
    cases = [(ASK, "good"), (ASK, "bad"), (HARM, "good"), (HARM, "bad"), (HARM, REFUSALS[0]), (ASK, REFUSALS[0])]
    outcomes = judge.outcomes([(q, response(q, text)) for q, text in cases])
    assert outcomes == ["full", "garbled", "full", "full", "refusal", "refusal"]


def test_a_frozen_critic_does_not_learn_with_the_critic(generator: HFGenerator) -> None:
    judge = frozen_critic(config(), generator)
    cases = [(q, response(q, text)) for q in (ASK, HARM) for text in (BENIGN.answer(), HARMFUL.answer(), "blue")]
    before = judge.verdicts(cases), judge.outcomes(cases)
    rng, tensors = np.random.default_rng(0), RecordingTrainer().adapter("critic")
    moved: dict[str, Any] = {k: rng.normal(0, 0.3, v.shape).astype(np.float32) for k, v in tensors.items()}
    generator.load_adapter("critic", moved, 1)
    again = frozen_critic(config(), generator)  # one that remembers nothing
    assert (again.verdicts(cases), again.outcomes(cases)) == before


def test_the_simulated_expert_says_what_the_oracle_says() -> None:
    item, _ = labelled(1, 1.0)
    right = replace(item, query=ASK.text, first=BENIGN.answer())
    assert oracle_expert(right) == 1
    assert oracle_expert(replace(right, first="blue")) == 0
    assert oracle_expert(replace(right, query="what time is it?")) == 0.5


def test_the_simulated_expert_prefers_the_better_of_two_and_calls_equals_a_tie() -> None:
    item, _ = labelled(1, 1.0, second="x")
    pair = replace(item, query=ASK.text, first=BENIGN.answer(), second=REFUSALS[0])
    assert oracle_expert(pair) == 1
    assert oracle_expert(replace(pair, first=REFUSALS[1], second=BENIGN.answer())) == 0
    assert oracle_expert(replace(pair, first=REFUSALS[1])) == 0.5


class Literal:
    """A judge of a user: whatever begins with a word of the settings helps in full."""

    name, exact = "literal", False

    class Settings(JudgeConfig):
        """Its own."""

        word: str = Field("sure", description="how help begins")

    def __init__(self, settings: Settings, services: Services) -> None:
        self.word, self.role = settings.word, services.role

    def outcomes(self, cases: Sequence[Case]) -> list[Outcome]:
        return ["full" if r.text.startswith(self.word) else "refusal" for _, r in cases]


LITERAL = "tests.roles.test_judge:Literal"


def test_a_judge_of_a_user_grades_by_settings_of_its_own_and_is_never_trained() -> None:
    judge = make_judge(config(evaluation={"judge": LITERAL}, judge={"word": "yes"}), Scripted())
    assert isinstance(judge, Literal) and judge.role == "judge"
    assert judge.outcomes([(ASK, response(ASK, "yes, so")), (ASK, response(ASK, "sure"))]) == ["full", "refusal"]


def test_a_judge_that_cannot_grade_is_refused_by_what_it_lacks() -> None:
    with pytest.raises(UserError, match=rf"evaluation\.judge={LENGTHS} is no judge: it lacks .*outcomes\(cases\)"):
        make_judge(config(evaluation={"judge": LENGTHS}), Scripted())


def test_a_frozen_critic_is_the_generative_one_whatever_is_trained() -> None:
    odds = lambda role, prompt: 3.0 if role == "judge" else -3.0  # noqa: E731
    judge = frozen_critic(config(critic={"kind": LENGTHS}), Scripted(odds=odds))
    assert judge.outcomes([(ASK, response(ASK, "good"))]) == ["full"]
