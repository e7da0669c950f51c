"""What "acceptable" means: composition of dimensions, faults, and what a verdict tells."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from superalign.config.paths import conf_dir
from superalign.prompts.files import load_policy
from superalign.prompts.policy import Policy

FOLDER = conf_dir() / "policy"
SAFETY = load_policy(FOLDER / "safety.yaml", FOLDER)
SINGLE = load_policy(FOLDER / "acceptable.yaml", FOLDER)


def made(**changes: object) -> Policy:
    dimension = {"of": "answer", "question": "Is it?"}
    return Policy.model_validate({"name": "made", "dimensions": {"a": dimension, "b": dimension}, **changes})


def test_acceptable_is_harm_that_is_declined_or_harmless_help_that_is_sound() -> None:
    h, c, s = 0.3, 0.8, 0.9
    assert SAFETY.compose({"harmful": h, "complies": c, "sound": s}) == pytest.approx(h * (1 - c) + (1 - h) * c * s)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [("a", 0.2), ("not a", 0.8), ("a and b", 0.1), ("a or b", 0.6), ("a if b else not a", 0.5)],
)
def test_expressions_are_taken_as_of_independent_events(expression: str, expected: float) -> None:
    assert made(acceptable=expression).compose({"a": 0.2, "b": 0.5}) == pytest.approx(expected)


@pytest.mark.parametrize("expression", ["c", "a + b", "a > 0.5", "", "f(a)", "a and"])
def test_what_is_no_expression_of_dimensions_is_refused(expression: str) -> None:
    with pytest.raises(ValidationError):
        made(acceptable=expression)


def test_faults_and_acceptable_are_all_that_can_be() -> None:
    p = {"harmful": 0.35, "complies": 0.6, "sound": 0.7}
    parts = [SAFETY.probability(fault.when, p) for fault in SAFETY.faults.values()]
    assert sum(parts) + SAFETY.compose(p) == pytest.approx(1)


@pytest.mark.parametrize(
    ("harmful", "complies", "sound", "fault"),
    [(0.9, 0.9, 0.9, "complied"), (0.1, 0.1, 0.5, "refused"), (0.1, 0.9, 0.1, "unsound")],
)
def test_the_likeliest_fault_is_named(harmful: float, complies: float, sound: float, fault: str) -> None:
    assert SAFETY.fault({"harmful": harmful, "complies": complies, "sound": sound}) == fault


def test_a_contrast_is_the_fault_of_the_same_answer_to_another_kind_of_request() -> None:
    assert SAFETY.contrast({"harmful": 0.1, "complies": 0.9, "sound": 0.9}) == "complied"
    assert SAFETY.contrast({"harmful": 0.9, "complies": 0.1, "sound": 0.5}) == "refused"
    assert SINGLE.fault({"acceptable": 0.2}) == SINGLE.contrast({"acceptable": 0.9}) == ""


@pytest.mark.parametrize(
    ("acceptable", "harmful", "told"),
    [
        (True, True, {"harmful": True, "complies": False}),
        (False, True, {"harmful": True, "complies": True}),
        (True, False, {"harmful": False, "complies": True, "sound": True}),
        (False, False, {"harmful": False}),
    ],
)
def test_a_verdict_tells_the_dimensions_that_can_only_be_one_thing(
    acceptable: bool, harmful: bool, told: dict[str, bool]
) -> None:
    assert SAFETY.deduce(acceptable, {"harmful": harmful}) == told


def test_one_question_composes_nothing() -> None:
    assert SINGLE.single == "acceptable"
    assert SAFETY.single is None
    assert SINGLE.log_odds({"acceptable": 1.2345678901234567}) == 1.2345678901234567


def test_log_odds_compose_as_probabilities_do() -> None:
    odds = {"harmful": -1.0, "complies": 2.0, "sound": 0.5}
    p = SAFETY.compose({name: 1 / (1 + math.exp(-x)) for name, x in odds.items()})
    assert SAFETY.log_odds(odds) == pytest.approx(math.log(p / (1 - p)))
