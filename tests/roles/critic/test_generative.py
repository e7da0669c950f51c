"""The critic's verdicts: both orders, two views, exact quotes, calibration that survives a restart."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace

import pytest

from superalign.generation.hf import HFGenerator
from superalign.records import Critique, Judgement, Query, Response
from superalign.roles.critic.generative import Critic, select_pairs, shuffled
from superalign.testbed.world import REFUSALS, Request
from tests.roles.parts import Scripted, config, labelled, point, query, response, serve

ASK = query("how do i build a kite for my aunt?")
GOOD, BAD = response(ASK, "good"), response(ASK, "bad")


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def odds(points: dict[str, float], pairs: dict[tuple[str, str], float]) -> Scripted:
    """Log-odds by the answers that stand in the prompt; 0 where none is given."""

    def look(_: str, prompt: str) -> float:
        if "\nFirst: " in prompt:
            return next((x for (a, b), x in pairs.items() if f"First: {a}\nSecond: {b}\n" in prompt), 0.0)
        return next((x for a, x in points.items() if f"Answer: {a}\n" in prompt), 0.0)

    return Scripted(odds=look)


def critic(generator: Scripted | HFGenerator, **settings: object) -> Critic:
    return Critic(config(critic=settings), generator, None)


@pytest.fixture(scope="module")
def shipped() -> HFGenerator:
    return serve()


def test_a_point_is_the_probability_of_the_verdict_word() -> None:
    judged = critic(odds({"good": 2.0, "bad": -1.0}, {})).judge_points([(ASK, GOOD), (ASK, BAD)], seed=0)
    assert [j.p for j in judged] == [pytest.approx(sigmoid(2)), pytest.approx(sigmoid(-1))]
    assert [(j.kind, j.first_id, j.second_id, j.version) for j in judged] == [
        ("point", GOOD.id, "", 7), ("point", BAD.id, "", 7),
    ]  # fmt: skip


def test_equal_texts_are_judged_once_and_alike() -> None:
    generator = odds({"good": 2.0}, {})
    twin = replace(GOOD, id="twin")
    one, other = critic(generator).judge_points([(ASK, GOOD), (ASK, twin)], seed=0)
    assert len(generator.asked) == 1
    assert one.p == other.p
    assert one.id != other.id


def test_a_verdict_near_a_half_abstains() -> None:
    judged = critic(odds({"good": 0.2, "bad": -2.0}, {})).judge_points([(ASK, GOOD), (ASK, BAD)], seed=0)
    assert [j.abstained for j in judged] == [True, False]


def test_a_pair_is_compared_in_both_orders() -> None:
    generator = odds({}, {("good", "bad"): 2.0, ("bad", "good"): -1.0})
    (judged,) = critic(generator).judge_pairs([(ASK, GOOD, BAD)])
    compared = (sigmoid(2) + 1 - sigmoid(-1)) / 2
    assert sigmoid(judged.logit) == pytest.approx(compared)
    assert judged.p == pytest.approx((compared + 0.5) / 2)
    assert not judged.flipped


def test_a_critic_that_only_likes_the_first_place_flips_and_abstains() -> None:
    generator = odds({"good": 4.0, "bad": -4.0}, {("good", "bad"): 3.0, ("bad", "good"): 3.0})
    (judged,) = critic(generator).judge_pairs([(ASK, GOOD, BAD)])
    assert sigmoid(judged.logit) == pytest.approx(0.5)
    assert judged.flipped
    assert judged.abstained
    assert judged.p > 0.7


def test_the_two_views_of_a_pair_are_averaged_and_their_disagreement_is_kept() -> None:
    generator = odds({"good": 2.0, "bad": -2.0}, {("good", "bad"): -2.0, ("bad", "good"): 2.0})
    (judged,) = critic(generator).judge_pairs([(ASK, GOOD, BAD)])
    a, b, compared = sigmoid(2), sigmoid(-2), sigmoid(-2)
    implied = a * (1 - b) / (a * (1 - b) + b * (1 - a))
    assert judged.p == pytest.approx((compared + implied) / 2)
    assert judged.variance == pytest.approx(((compared - implied) / 2) ** 2)
    assert judged.abstained


def test_the_order_in_which_a_pair_is_given_does_not_matter() -> None:
    generator = odds({"good": 1.0, "bad": 0.3}, {("good", "bad"): 2.0, ("bad", "good"): -0.5})
    one, other = critic(generator).judge_pairs([(ASK, GOOD, BAD), (ASK, BAD, GOOD)])
    assert one.p == pytest.approx(1 - other.p)
    assert one.variance == pytest.approx(other.variance)


def test_the_critique_justifies_the_calibrated_verdict() -> None:
    generator = Scripted(says=lambda role, prompt: '. "good" helps, "better" too.')
    verdicts = [point(GOOD, 0.9), point(BAD, 0.2)]
    one, other = critic(generator).critique([(ASK, GOOD), (ASK, BAD)], verdicts, seed=0)
    assert [asked.rsplit("?", 1)[1] for _, asked in generator.asked] == ["yes", "no"]
    assert (one.text[:4], other.text[:3]) == ("yes.", "no.")
    assert (one.response_id, one.quotes, one.unsupported) == (GOOD.id, ("good", "better"), 1)
    assert (other.response_id, other.unsupported) == (BAD.id, 2)


def test_the_shipped_critic_quotes_what_it_judges(shipped: HFGenerator) -> None:
    requests = [Request(verb, "kite", "for my aunt") for verb in ("build", "sell", "carry", "copy")]
    cases = []
    for request in requests:
        asked = query(f"how do i {request.core}?")
        cases += [(asked, response(asked, text)) for text in (request.answer(), REFUSALS[0])]
    made = critic(shipped, max_new_tokens=48)
    critiques: list[Critique] = made.critique(cases, made.judge_points(cases, 0), seed=0)
    assert all(c.quotes for c in critiques)
    assert sum(c.unsupported == 0 for c in critiques) >= 7


def test_the_shipped_critic_tells_answers_from_refusals(shipped: HFGenerator) -> None:
    request = Request("build", "kite", "for my aunt")
    right, wrong = response(ASK, request.answer()), response(ASK, REFUSALS[0])
    yes, no = critic(shipped).judge_points([(ASK, right), (ASK, wrong)], seed=0)
    (better,) = critic(shipped).judge_pairs([(ASK, right, wrong)])
    assert yes.p > 0.8 > 0.2 > no.p
    assert better.p > 0.8
    assert not better.flipped


def test_shuffled_verdicts_are_the_same_numbers_on_other_answers_and_figures_stay_honest() -> None:
    answers = [response(ASK, f"a{i}") for i in range(12)]
    generator = odds({r.text: float(i) for i, r in enumerate(answers)}, {})
    placebo, honest = critic(generator, verdicts="shuffled"), critic(generator)
    cases = [(ASK, r) for r in answers]
    given, right = ([j.p for j in c.judge_points(cases, seed=1)] for c in (placebo, honest))
    assert given != right
    assert sorted(given) == sorted(right)
    texts = [(ASK.text, r.text, ASK.category) for r in answers]
    assert placebo.probabilities(texts) == pytest.approx(right)


def calibrated(generator: Scripted) -> Critic:
    """A critic that says 3 too much, after labels that tell it so."""
    made = critic(generator, calibration_share=1.0)
    labels = [labelled(i, float(i % 2), text=("high" if i % 2 else "low")) for i in range(40)]
    labels += [labelled(f"p{i}", float(i % 2), *(("high", "low") if i % 2 else ("low", "high"))) for i in range(20)]
    made.restore(made.state(), labels)
    assert made.calibrate() == {"calibration_points": 40.0, "calibration_pairs": 20.0}
    return made


BIASED = {"high": 4.0, "low": 2.0}


def test_the_newest_labels_alone_calibrate_so_that_rounds_do_not_grow_with_all_that_were_given() -> None:
    made = critic(odds(BIASED, {}), calibration_share=1.0, calibration_labels=8)
    labels = [labelled(i, float(i % 2), text=("high" if i % 2 else "low")) for i in range(40)]
    assert made.withheld(labels) == labels[-8:]
    made.restore(made.state(), labels)
    assert made.calibrate() == {"calibration_points": 8.0, "calibration_pairs": 0.0}
    assert made.heldout()[0].cases == [(item.query, item.first, item.category) for item, _ in labels[-8:]]


def test_calibration_takes_off_a_bias_that_experts_have_shown() -> None:
    made = calibrated(odds(BIASED, {}))
    high, low = made.judge_points([(ASK, response(ASK, "high")), (ASK, response(ASK, "low"))], seed=0)
    assert low.p < 0.5 < high.p
    assert (high.logit, low.logit) == (4.0, 2.0)


def test_a_restored_critic_has_the_same_calibration_and_the_same_labels_held_back() -> None:
    made = calibrated(odds(BIASED, {}))
    again = critic(odds(BIASED, {}), calibration_share=1.0)
    again.restore(json.loads(json.dumps(made.state())), made._labelled)
    assert again.calibrators == made.calibrators
    assert again.heldout() == made.heldout()
    cases = [(ASK, response(ASK, "high")), (ASK, response(ASK, "low"))]
    assert again.judge_points(cases, 0) == made.judge_points(cases, 0)


def test_what_was_held_back_is_points_with_an_answer() -> None:
    made = critic(odds(BIASED, {}), calibration_share=1.0)
    made.restore(made.state(), [labelled(1, 1.0), labelled(2, 0.5), labelled(3, 0.0, second="other")])
    exam, p = made.heldout()
    assert (len(p), exam.truth, exam.clusters) == (1, [1.0], ["q1"])


def test_what_was_held_back_is_judged_by_a_calibration_that_did_not_see_it() -> None:
    """Of a critic that knows nothing, a calibration on the very labels finds something."""
    rng = random.Random(0)
    said = {f"answer {i}": rng.gauss(0, 3) for i in range(60)}
    labels = [labelled(i, float(rng.random() < 0.5), text=text) for i, text in enumerate(said)]
    made = critic(odds(said, {}), calibration_share=1.0)
    made.restore(made.state(), labels)
    made.calibrate()
    exam, p = made.heldout()
    other = [
        (item, replace(label, value=1 - label.value)) if item.query_id == "q3" else (item, label)
        for item, label in labels
    ]
    made.restore(made.state(), other)
    changed, again = made.heldout()
    at = exam.clusters.index("q3")
    assert changed.truth[at] != exam.truth[at] and again[at] == p[at] and again != p


def test_labels_drawn_by_small_chances_stand_for_many_items() -> None:
    made = critic(odds(BIASED, {}), calibration_share=1.0)
    made.restore(made.state(), [labelled(1, 1.0, pi=0.2), labelled(2, 1.0, pi=0.8), labelled(3, 0.0, pi=0.001)])
    exam, _ = made.heldout()
    assert exam.weights is not None
    assert [weight / exam.weights[1] for weight in exam.weights] == pytest.approx([4, 1, 8])


def judged(*answers: tuple[str, float], asked: Query = ASK) -> tuple[list[tuple[Query, Response]], list[Judgement]]:
    responses = [response(asked, text) for text, _ in answers]
    return [(asked, r) for r in responses], [point(r, p) for r, (_, p) in zip(responses, answers, strict=True)]


def test_contrasts_set_the_best_against_the_worst() -> None:
    pairs = select_pairs(*judged(("a", 0.9), ("b", 0.1), ("c", 0.8), ("d", 0.3), ("e", 0.5)))
    assert [{first.text, second.text} for _, first, second in pairs] == [{"a", "b"}, {"c", "d"}]
    assert len(select_pairs(*judged(("a", 0.9), ("b", 0.1), ("c", 0.8), ("d", 0.3)), per_query=1)) == 1


def test_answers_that_look_alike_to_the_critic_or_are_the_same_give_no_contrast() -> None:
    assert select_pairs(*judged(("a", 0.55), ("b", 0.5))) == []
    assert select_pairs(*judged(("a", 0.9), ("a", 0.1))) == []
    assert select_pairs(*judged(("a", 0.9))) == []


def test_contrasts_stay_within_a_query() -> None:
    other = query("how do i sell a guitar?")
    (cases, verdicts), (more, others) = judged(("a", 0.9), ("b", 0.1)), judged(("c", 0.9), ("d", 0.2), asked=other)
    pairs = select_pairs([*cases, *more], [*verdicts, *others])
    assert all(q.id == first.query_id == second.query_id for q, first, second in pairs)
    assert {q.id for q, *_ in pairs} == {ASK.id, other.id}


def test_the_place_in_a_contrast_does_not_tell_which_is_better() -> None:
    firsts = [select_pairs(*judged((f"good {i}", 0.9), (f"bad {i}", 0.1)))[0][1].text[:4] for i in range(60)]
    assert 15 < firsts.count("good") < 45


def test_the_placebo_moves_verdicts_and_nothing_else() -> None:
    cases, verdicts = judged(*((f"a{i}", i / 20) for i in range(20)))
    moved = shuffled(verdicts, seed=1)
    assert [j.id for j in moved] == [j.id for j in verdicts]
    assert [j.p for j in moved] != [j.p for j in verdicts]
    assert sorted(j.p for j in moved) == sorted(j.p for j in verdicts)
    assert moved == shuffled(verdicts, seed=1) != shuffled(verdicts, seed=2)
    assert len(cases) == 20
