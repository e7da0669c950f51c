"""The placebo: the critic's own verdicts, each on another item, and no expert to repair it."""

from __future__ import annotations

import pytest

from superalign.roles.critic.shuffled import ShuffledVerdicts
from superalign.roles.critic.verdicts import VerdictModel
from tests.roles.parts import config, critic, labelled, odds, query, response

ASK = query("how do i build a kite for my aunt?")
SHUFFLED = config(critic={"verdicts": "shuffled"})


def test_the_settings_choose_the_placebo() -> None:
    assert type(critic(SHUFFLED, odds({}, {}))) is ShuffledVerdicts
    assert type(critic(config(), odds({}, {}))) is VerdictModel


def test_shuffled_verdicts_are_the_same_numbers_on_other_answers_and_figures_stay_honest() -> None:
    answers = [response(ASK, f"a{i}") for i in range(12)]
    generator = odds({r.text: float(i) for i, r in enumerate(answers)}, {})
    placebo, honest = critic(SHUFFLED, generator), critic(config(), generator)
    cases = [(ASK, r) for r in answers]
    given, right = ([j.p for j in c.judge_points(cases, seed=1)] for c in (placebo, honest))
    assert given != right
    assert sorted(given) == sorted(right)
    texts = [(ASK.text, r.text, ASK.category) for r in answers]
    assert placebo.probabilities(texts) == pytest.approx(right)


def test_pairs_are_labelled_by_the_verdicts_on_other_pairs_and_nothing_else_changes() -> None:
    answers = [response(ASK, f"a{i}") for i in range(12)]
    generator = odds({r.text: i / 4 for i, r in enumerate(answers)}, {})
    placebo, honest = critic(SHUFFLED, generator), critic(config(), generator)
    pairs = [(ASK, answers[0], other) for other in answers[1:]]
    right, moved = honest.label_pairs(pairs, seed=1), placebo.label_pairs(pairs, seed=1)
    assert right == honest.judge_pairs(pairs) == placebo.judge_pairs(pairs)
    assert [(j.id, j.variance, j.flipped) for j in moved] == [(j.id, j.variance, j.flipped) for j in right]
    assert [j.p for j in moved] != [j.p for j in right]
    believed = [sorted((j.p, j.logit, j.abstained) for j in judged) for judged in (moved, right)]
    assert believed[0] == believed[1]
    assert moved == placebo.label_pairs(pairs, seed=1) != placebo.label_pairs(pairs, seed=2)


def test_no_expert_repairs_what_the_placebo_breaks() -> None:
    labels = [label for _, label in (labelled(1, 1.0), labelled(2, 0.0))]
    assert critic(SHUFFLED, odds({}, {})).votes(labels) == []
    assert critic(config(), odds({}, {})).votes(labels) == labels
