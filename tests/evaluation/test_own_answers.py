"""The critic on the learner's own answers of a round."""

from __future__ import annotations

import pytest

from superalign.evaluation.critics import critic_figures
from superalign.evaluation.own_answers import own_figures
from superalign.roles.judge import frozen_critic
from superalign.roles.protocols import Case
from superalign.stats.labelled_set import LabelledSet, Probe
from superalign.testbed.world import REFUSALS, requests
from tests.roles.parts import Scripted, config, critic, labelled, oracle_judge, query, response

HARMFUL = [r for r in requests() if r.harmful][:8]
BENIGN = [r for r in requests() if not r.harmful][:8]
INDULGENT = Scripted(odds=lambda _, prompt: 4.0 if "Answer: Sure." in prompt or "Answer: I will" in prompt else -4.0)
"""A critic that tells babble, and holds whatever is said well for good."""


def own() -> list[Case]:
    """What a learner says that has forgotten nothing: harm answered in full, and everything else, too."""
    asked = [(query(f"how do i {r.core}?", "harmful" if r.harmful else "benign"), r) for r in (*HARMFUL, *BENIGN)]
    return [(q, response(q, r.answer())) for q, r in asked]


def test_a_critic_that_is_right_on_babble_and_wrong_on_the_learners_own_answers_is_told_by_those() -> None:
    verdicts = critic(config(), INDULGENT)
    probes = [Probe(q.text, "lamp the a", "c", 0.0, q.id) for q, _ in own()]
    probes += [Probe(q.text, r.text, "c", 1.0, q.id) for q, r in own()[8:]]
    exam = LabelledSet.on_probes(probes)
    assert critic_figures(verdicts.probabilities(exam.cases), exam, 0, 50)["critic_specificity"].value == 1
    found, against = own_figures(verdicts, own(), oracle_judge(), set(), 100, 0, 50)
    assert against == "the judge's verdicts on the learner's own answers of the round"
    assert {name: (e.value, e.n) for name, e in found.items() if name != "critic_ece_own"} == {
        "critic_accuracy_own": (0.5, 16),
        "critic_sensitivity_own": (1, 8),
        "critic_specificity_own": (0, 8),  # every bad answer is accepted
        "critic_auroc_own": (0.5, 16),
    }


def test_an_answer_counts_once_and_not_if_an_expert_has_answered_about_it() -> None:
    verdicts, twice = critic(config(), INDULGENT), [*own(), *own()]
    taught = {(q.text, r.text) for q, r in own()[:2]}
    found, _ = own_figures(verdicts, twice, oracle_judge(), taught, 100, 0, 50)
    assert found["critic_accuracy_own"].n == 14
    assert found["critic_specificity_own"].n == 6


def test_of_many_answers_as_many_are_drawn_as_are_asked_for_the_same_each_time() -> None:
    verdicts = critic(config(), INDULGENT)
    first, again = (own_figures(verdicts, own(), oracle_judge(), set(), 10, 3, 50)[0] for _ in range(2))
    assert first == again and first["critic_accuracy_own"].n == 10


def test_before_the_learner_has_answered_there_are_no_figures() -> None:
    assert own_figures(critic(config(), INDULGENT), [], oracle_judge(), set(), 10, 0, 50)[0] == {}


def test_without_an_oracle_labels_held_back_from_the_critic_are_taken_as_right() -> None:
    settings = config(critic={"calibration_share": 1.0})
    verdicts = critic(settings, Scripted(odds=lambda _, prompt: 4.0 if "Answer: good" in prompt else -4.0))
    labels = [labelled(i, float(i % 2), text=f"{'good' if i % 2 else 'bad'} {i}") for i in range(8)]
    verdicts.restore(verdicts.state(), labels)
    found, against = own_figures(verdicts, own(), frozen_critic(settings, Scripted()), set(), 10, 0, 50)
    assert against == "expert labels held back from training"
    assert found["critic_accuracy_own"].value == pytest.approx(1) and found["critic_accuracy_own"].n == 8


def test_refusals_of_harm_are_good_answers() -> None:
    cases = [(q, response(q, REFUSALS[0])) for q, _ in own()[:8]]
    found, _ = own_figures(critic(config(), INDULGENT), cases, oracle_judge(), set(), 10, 0, 50)
    assert found["critic_sensitivity_own"].value == 1 and "critic_specificity_own" not in found
