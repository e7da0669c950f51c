"""A critic's scores as the loop uses them: both views of a pair, calibration that survives a restart, any critic."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest

from superalign.errors import UserError
from superalign.feedback.calibration import held_back
from superalign.roles.critic.verdicts import VerdictModel
from superalign.roles.critic.yes_no import sigmoid
from superalign.stats.classification import propensity_weights
from tests.roles.critic.rules import HARM_ALONE, LEARNING, LENGTHS, Learning, Lengths
from tests.roles.parts import Scripted, config, critic, labelled, odds, point, query, response

ASK = query("how do i build a kite for my aunt?")
GOOD, BAD = response(ASK, "good"), response(ASK, "bad")
BIASED = {"high": 4.0, "low": 2.0}


def made(generator: Any, **settings: Any) -> VerdictModel:
    return critic(config(critic=settings), generator)


def test_a_point_is_the_probability_of_the_verdict_word() -> None:
    judged = made(odds({"good": 2.0, "bad": -1.0}, {})).judge_points([(ASK, GOOD), (ASK, BAD)], seed=0)
    assert [j.p for j in judged] == [pytest.approx(sigmoid(2)), pytest.approx(sigmoid(-1))]
    assert [(j.kind, j.first_id, j.second_id, j.version) for j in judged] == [
        ("point", GOOD.id, "", 7), ("point", BAD.id, "", 7),
    ]  # fmt: skip


def test_equal_texts_are_judged_once_and_alike() -> None:
    generator = odds({"good": 2.0}, {})
    twin = replace(GOOD, id="twin")
    one, other = made(generator).judge_points([(ASK, GOOD), (ASK, twin)], seed=0)
    assert len(generator.asked) == 1
    assert one.p == other.p
    assert one.id != other.id


def test_a_verdict_near_a_half_abstains() -> None:
    judged = made(odds({"good": 0.2, "bad": -2.0}, {})).judge_points([(ASK, GOOD), (ASK, BAD)], seed=0)
    assert [j.abstained for j in judged] == [True, False]


def test_a_pair_is_compared_in_both_orders() -> None:
    generator = odds({}, {("good", "bad"): 2.0, ("bad", "good"): -1.0})
    (judged,) = made(generator).judge_pairs([(ASK, GOOD, BAD)])
    compared = (sigmoid(2) + 1 - sigmoid(-1)) / 2
    assert sigmoid(judged.logit) == pytest.approx(compared)
    assert judged.p == pytest.approx((compared + 0.5) / 2)
    assert not judged.flipped


def test_a_critic_that_only_likes_the_first_place_flips_and_abstains() -> None:
    generator = odds({"good": 4.0, "bad": -4.0}, {("good", "bad"): 3.0, ("bad", "good"): 3.0})
    (judged,) = made(generator).judge_pairs([(ASK, GOOD, BAD)])
    assert sigmoid(judged.logit) == pytest.approx(0.5)
    assert judged.flipped
    assert judged.abstained
    assert judged.p > 0.7


def test_the_two_views_of_a_pair_are_averaged_and_their_disagreement_is_kept() -> None:
    generator = odds({"good": 2.0, "bad": -2.0}, {("good", "bad"): -2.0, ("bad", "good"): 2.0})
    (judged,) = made(generator).judge_pairs([(ASK, GOOD, BAD)])
    a, b, compared = sigmoid(2), sigmoid(-2), sigmoid(-2)
    implied = a * (1 - b) / (a * (1 - b) + b * (1 - a))
    assert judged.p == pytest.approx((compared + implied) / 2)
    assert judged.variance == pytest.approx(((compared - implied) / 2) ** 2)
    assert judged.abstained


def test_the_order_in_which_a_pair_is_given_does_not_matter() -> None:
    generator = odds({"good": 1.0, "bad": 0.3}, {("good", "bad"): 2.0, ("bad", "good"): -0.5})
    one, other = made(generator).judge_pairs([(ASK, GOOD, BAD), (ASK, BAD, GOOD)])
    assert one.p == pytest.approx(1 - other.p)
    assert one.variance == pytest.approx(other.variance)


def test_the_critique_justifies_the_calibrated_verdict() -> None:
    generator = Scripted(says=lambda role, prompt: '. "good" helps, "better" too.')
    verdicts = [point(GOOD, 0.9), point(BAD, 0.2)]
    one, other = made(generator).critique([(ASK, GOOD), (ASK, BAD)], verdicts, seed=0)
    assert [asked.rsplit("?", 1)[1] for _, asked in generator.asked] == ["yes", "no"]
    assert (one.text[:4], other.text[:3]) == ("yes.", "no.")
    assert (one.response_id, one.quotes, one.unsupported) == (GOOD.id, ("good", "better"), 1)
    assert (other.response_id, other.unsupported) == (BAD.id, 2)


def calibrated(generator: Scripted) -> VerdictModel:
    """A critic that says 3 too much, after labels that tell it so."""
    verdicts = made(generator, calibration_share=1.0)
    labels = [labelled(i, float(i % 2), text=("high" if i % 2 else "low")) for i in range(40)]
    labels += [labelled(f"p{i}", float(i % 2), *(("high", "low") if i % 2 else ("low", "high"))) for i in range(20)]
    verdicts.restore(verdicts.state(), labels)
    assert verdicts.calibrate() == {"calibration_points": 40.0, "calibration_pairs": 20.0}
    return verdicts


def test_the_newest_labels_alone_calibrate_so_that_rounds_do_not_grow_with_all_that_were_given() -> None:
    verdicts = made(odds(BIASED, {}), calibration_share=1.0, calibration_labels=8)
    labels = [labelled(i, float(i % 2), text=("high" if i % 2 else "low")) for i in range(40)]
    assert verdicts.held.withheld(labels) == labels[-8:]
    verdicts.restore(verdicts.state(), labels)
    assert verdicts.calibrate() == {"calibration_points": 8.0, "calibration_pairs": 0.0}
    assert verdicts.heldout()[0].cases == [(item.query, item.first, item.category) for item, _ in labels[-8:]]


def test_calibration_takes_off_a_bias_that_experts_have_shown() -> None:
    verdicts = calibrated(odds(BIASED, {}))
    high, low = verdicts.judge_points([(ASK, response(ASK, "high")), (ASK, response(ASK, "low"))], seed=0)
    assert low.p < 0.5 < high.p
    assert (high.logit, low.logit) == (4.0, 2.0)


def test_a_restored_critic_has_the_same_calibration_and_the_same_labels_held_back() -> None:
    verdicts = calibrated(odds(BIASED, {}))
    again = made(odds(BIASED, {}), calibration_share=1.0)
    again.restore(json.loads(json.dumps(verdicts.state())), verdicts._labelled)
    assert again.calibrators == verdicts.calibrators
    assert again.heldout() == verdicts.heldout()
    cases = [(ASK, response(ASK, "high")), (ASK, response(ASK, "low"))]
    assert again.judge_points(cases, 0) == verdicts.judge_points(cases, 0)


def test_what_was_held_back_is_points_with_an_answer() -> None:
    verdicts = made(odds(BIASED, {}), calibration_share=1.0)
    verdicts.restore(verdicts.state(), [labelled(1, 1.0), labelled(2, 0.5), labelled(3, 0.0, second="other")])
    exam, p = verdicts.heldout()
    assert (len(p), exam.truth, exam.clusters) == (1, [1.0], ["q1"])


def test_what_was_held_back_is_judged_by_a_calibration_that_did_not_see_it() -> None:
    """Of a critic that knows nothing, a calibration on the very labels finds something."""
    rng = random.Random(0)
    said = {f"answer {i}": rng.gauss(0, 3) for i in range(60)}
    labels = [labelled(i, float(rng.random() < 0.5), text=text) for i, text in enumerate(said)]
    verdicts = made(odds(said, {}), calibration_share=1.0)
    verdicts.restore(verdicts.state(), labels)
    verdicts.calibrate()
    exam, p = verdicts.heldout()
    other = [
        (item, replace(label, value=1 - label.value)) if item.query_id == "q3" else (item, label)
        for item, label in labels
    ]
    verdicts.restore(verdicts.state(), other)
    changed, again = verdicts.heldout()
    at = exam.clusters.index("q3")
    assert changed.truth[at] != exam.truth[at] and again[at] == p[at] and again != p


def test_labels_drawn_by_small_chances_stand_for_many_items() -> None:
    verdicts = made(odds(BIASED, {}), calibration_share=1.0)
    verdicts.restore(verdicts.state(), [labelled(1, 1.0, pi=0.2), labelled(2, 1.0, pi=0.8), labelled(3, 0.0, pi=0.001)])
    exam, _ = verdicts.heldout()
    assert exam.weights is not None
    assert [weight / exam.weights[1] for weight in exam.weights] == pytest.approx([4, 1, 800])


def test_a_critic_is_examined_on_labels_held_back_from_it_that_stand_for_all() -> None:
    verdicts = made(Scripted(), calibration_share=0.4)
    answered = [labelled(i, float(i % 2), pi=(i % 5 + 1) / 10) for i in range(60)]
    answered += [labelled(f"tie-{i}", 0.5) for i in range(10)]
    _, labels, asked, weights = verdicts.examined(answered)
    mine = [(x.value, i.query_id) for i, x in answered if held_back(i, 0.4) and x.value != 0.5]
    assert mine == list(zip(labels, asked, strict=True)) and 10 < len(mine) < 40
    drawn = [i.pi for i, x in answered if held_back(i, 0.4) and x.value != 0.5]
    assert weights == propensity_weights(drawn).tolist() and len(set(weights)) == 5


def rule(kind: str = LENGTHS, **settings: Any) -> VerdictModel:
    return made(Scripted(), kind=kind, **settings)


def test_the_scores_of_a_rule_are_kept_as_they_are_and_become_probabilities() -> None:
    verdicts = rule(words=2)
    short, long = response(ASK, "one"), response(ASK, "one two three four")
    points = verdicts.judge_points([(ASK, short), (ASK, long)], seed=0)
    assert [(j.logit, j.p) for j in points] == [(-1.0, sigmoid(-1)), (2.0, sigmoid(2))]
    assert {(j.variance, j.version) for j in points} == {(0.0, 7)}
    (pair,) = verdicts.judge_pairs([(ASK, long, short)])
    a, b = sigmoid(2), sigmoid(-1)
    implied = a * (1 - b) / (a * (1 - b) + b * (1 - a))
    assert (pair.logit, pair.flipped) == (3.0, False)
    assert pair.p == pytest.approx((sigmoid(3) + implied) / 2)
    (tie,) = verdicts.judge_pairs([(ASK, short, response(ASK, "two"))])
    assert tie.flipped and tie.abstained


def test_a_rule_is_asked_about_query_answer_and_category_once() -> None:
    verdicts = rule()
    verdicts.judge_points([(ASK, GOOD), (ASK, replace(GOOD, id="twin")), (ASK, BAD)], seed=0)
    assert isinstance(verdicts.critic, Lengths)
    assert verdicts.critic.asked == [(ASK.text, "good", "everyday"), (ASK.text, "bad", "everyday")]


def test_the_critique_of_a_critic_without_words_is_its_verdict() -> None:
    critiques = rule().critique([(ASK, GOOD), (ASK, BAD)], [point(GOOD, 0.9), point(BAD, 0.2)], seed=0)
    assert [(c.response_id, c.text, c.quotes) for c in critiques] == [(GOOD.id, "yes.", ()), (BAD.id, "no.", ())]


def test_a_critic_that_does_not_learn_learns_nothing_and_is_calibrated_all_the_same() -> None:
    verdicts = rule(calibration_share=1.0)
    texts = ("one two three four five", "one two three four")
    labels = [labelled(i, float(i % 2), text=texts[i % 2]) for i in range(40)]
    assert verdicts.learn(labels, [], [], seed=0) == {}
    assert verdicts.calibrate() == {"calibration_points": 40.0, "calibration_pairs": 0.0}
    cases = [(ASK, response(ASK, text)) for text in texts]
    judged = verdicts.judge_points(cases, seed=0)
    assert judged[0].p < sigmoid(judged[0].logit)
    assert verdicts.state()["critic"] == {}
    again = rule(calibration_share=1.0)
    again.restore(json.loads(json.dumps(verdicts.state())), labels)
    assert again.judge_points(cases, seed=0) == judged


def test_a_critic_that_learns_and_writes_is_asked_to_and_its_state_is_kept() -> None:
    verdicts = rule(LEARNING, calibration_share=0.5)
    assert isinstance(verdicts.critic, Learning)
    labels = [labelled(i, 1.0) for i in range(20)]
    own = (labels[0][0].query, labels[0][0].first)
    verdicts.learn(labels[:10], [own, ("ask", "clean")], [("ask", "said"), ("ask", "said"), own], seed=0)
    verdicts.learn(labels, [], [], seed=1)
    first, second = verdicts.critic.batches
    assert 0 < len(first.labelled) < 10 and first.known == frozenset()
    assert (first.clean, first.replay) == ([("ask", "clean")], [("ask", "said")])
    assert second.known == {item.id for item, _ in labels[:10]}
    held = {item.id for item, _ in verdicts.held.withheld(labels)}
    assert held and not held & {item.id for item, _ in second.labelled}
    (critique,) = verdicts.critique([(ASK, GOOD)], [point(GOOD, 0.9)], seed=0)
    assert (critique.text, critique.quotes, critique.unsupported) == ('yes. "good" is long.', ("good",), 0)
    again = rule(LEARNING, calibration_share=0.5)
    again.restore(json.loads(json.dumps(verdicts.state())), labels)
    assert isinstance(again.critic, Learning) and again.critic.learned == verdicts.critic.learned > 0


def test_a_critic_that_scores_nothing_acceptable_is_refused_by_name() -> None:
    told = rf"critic={HARM_ALONE} scores harmful, useful: the loop learns from a dimension named acceptable"
    with pytest.raises(UserError, match=told):
        rule(HARM_ALONE).judge_points([(ASK, GOOD)], seed=0)
