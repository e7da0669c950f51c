"""Attack success corrected for how the judge errs on experts' labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from superalign.evaluation.corrections import corrections
from superalign.experts.items import Item
from superalign.records import ExpertLabel, Query, Response
from superalign.roles.protocols import Outcome
from superalign.stats.estimate import Estimate
from superalign.stats.intervals import clustered_rate
from tests.roles.parts import labelled

TRUTH, SE, SP = 0.2, 0.85, 0.9
Answered = list[tuple[Item, ExpertLabel]]


class Erring:
    """A judge whose verdicts on each text are settled beforehand."""

    name = "errs at a known rate"
    exact = False

    def __init__(self, settings: Any = None, services: Any = None) -> None:
        self.says: dict[str, Outcome] = {}

    def outcomes(self, cases: Sequence[tuple[Query, Response]]) -> list[Outcome]:
        assert all(query.kind == "harmful" for query, _ in cases)
        return [self.says[response.text] for _, response in cases]


def asked(judge: Erring, rng: np.random.Generator, count: int, name: str = "") -> Answered:
    """Labels of answers to attacks; those that succeeded were three times as likely to be drawn."""
    found = []
    for number in range(count):
        success = bool(rng.random() < TRUTH)
        pi = 0.9 if success else 0.3
        seen = rng.random() < (SE if success else 1 - SP)
        judge.says[f"{name}{number}"] = "full" if seen else "refusal"
        if rng.random() < pi:
            item, label = labelled(f"{name}{number}", float(not success), f"{name}{number}", pi=pi)
            found.append((replace(item, harmful=True), label))
    return found


def seen_by(judge: Erring, rng: np.random.Generator, seed: int) -> Estimate:
    """The judge's rate on 400 answers of the evaluation."""
    truth = rng.random(400) < TRUTH
    return clustered_rate(np.where(truth, rng.random(400) < SE, rng.random(400) > SP), np.arange(400), seed, 100)


def test_the_corrected_rate_finds_the_truth_that_the_judge_misses() -> None:
    rng, raw, corrected = np.random.default_rng(0), 0, 0
    for run in range(40):
        judge = Erring()
        rate = seen_by(judge, rng, run)
        found = corrections(judge, {"attack_success_rate": rate}, asked(judge, rng, 400), run, 200)
        assert set(found) == {"judge_sensitivity", "judge_specificity", "attack_success_rate_corrected"}
        raw += rate.low <= TRUTH <= rate.high
        now = found["attack_success_rate_corrected"]
        corrected += now.low <= TRUTH <= now.high
    assert raw < 27 and corrected >= 36


@pytest.mark.parametrize(("error", "share"), [(0.05, 0.1), (0.1, 0.1), (0.05, 0.5)])
def test_the_experts_own_errors_are_in_the_value_and_in_the_interval(error: float, share: float) -> None:
    """True rate .10; labels taken as right give .15 (5 % wrong), .18 (10 %) and .055 (5 %, half of them successes)."""
    rng, values, covered = np.random.default_rng(5), [], 0
    for run in range(40):
        judge, answered = Erring(), []
        for number in range(400):
            success = bool(rng.random() < share)
            judge.says[f"{number}"] = "full" if rng.random() < (0.9 if success else 0.1) else "refusal"
            said = float(success ^ (rng.random() >= error))
            item, label = labelled(f"{number}", said, f"{number}", pi=0.5)
            answered.append((replace(item, harmful=True), label))
        truth = rng.random(400) < 0.1
        seen = np.where(truth, rng.random(400) < 0.9, rng.random(400) < 0.1)
        rates = {"attack_success_rate": clustered_rate(seen, np.arange(400), run, 200)}
        wrong = rng.binomial(100, error)  # of a hundred gold items
        experts = {"ann": rng.beta(2 + wrong, 18 + 100 - wrong, 400)}
        found = corrections(judge, rates, answered, run, 400, experts)["attack_success_rate_corrected"]
        values.append(found.value)
        covered += found.low <= 0.1 <= found.high
    assert np.mean(values) == pytest.approx(0.1, abs=0.02)
    assert covered >= 36


def test_babble_is_no_success_as_in_the_raw_rate() -> None:
    """Experts accept neither harm nor babble. A judge that knows both is never wrong, so nothing is to be corrected."""
    judge, answered = Erring(), []
    for number in range(200):
        kind: Outcome = ("full", "garbled", "refusal", "refusal")[number % 4]
        judge.says[f"{number}"] = kind
        item, label = labelled(f"{number}", float(kind == "refusal"), f"{number}")
        answered.append((replace(item, harmful=True), label))
    raw = clustered_rate(np.arange(400) % 4 == 0, np.arange(400), 0, 200)
    experts = {"ann": np.random.default_rng(0).beta(2, 400, 400)}
    found = corrections(judge, {"attack_success_rate": raw}, answered, 0, 400, experts)
    assert found["judge_sensitivity"].value > 0.95 and found["judge_specificity"].value > 0.95
    assert found["attack_success_rate_corrected"].value == pytest.approx(0.25, abs=0.02)


def test_only_point_labels_of_answers_to_harmful_requests_count() -> None:
    judge, rng = Erring(), np.random.default_rng(1)
    answered = asked(judge, rng, 200)
    of_benign = [(replace(item, harmful=False), label) for item, label in asked(judge, rng, 50, "benign")]
    pairs = [
        (replace(item, harmful=True), label) for item, label in (labelled(f"pair{i}", 1.0, "a", "b") for i in range(50))
    ]
    ties = [(item, replace(label, value=0.5)) for item, label in asked(judge, rng, 50, "tie")]
    rates = {"attack_success_rate": seen_by(judge, rng, 0), "helpfulness": Estimate(0.9, 0.8, 1.0, 50)}
    alone = corrections(judge, rates, answered, 0, 100)
    assert corrections(judge, rates, [*of_benign, *answered, *pairs, *ties], 0, 100) == alone
    assert alone["judge_sensitivity"].n + alone["judge_specificity"].n == len(answered)


@pytest.mark.parametrize(("count", "known"), [(0, set()), (12, {"judge_sensitivity", "judge_specificity"})])
def test_a_judge_that_few_labels_tell_of_corrects_nothing(count: int, known: set[str]) -> None:
    judge, rng = Erring(), np.random.default_rng(2)
    answered = asked(judge, rng, count)
    assert set(corrections(judge, {"attack_success_rate": seen_by(judge, rng, 0)}, answered, 0, 100)) == known


def test_of_answers_that_no_attack_got_only_the_specificity_is_known() -> None:
    judge = Erring()
    judge.says = {f"answer {i}": "refusal" for i in range(40)}
    answered = [(replace(item, harmful=True), label) for item, label in (labelled(i, 1.0) for i in range(40))]
    found = corrections(judge, {}, answered, 0, 100)
    assert set(found) == {"judge_specificity"} and found["judge_specificity"].value == 1.0
