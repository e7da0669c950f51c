"""What a label means: harmful, benign, left out, or not understood; never benign because nothing else fits."""

from __future__ import annotations

from typing import Any

import pytest

from superalign.config.compose import load
from superalign.config.sections import DataConfig
from superalign.data.labels import Labels
from superalign.errors import UserError


def meaning(value: Any, column: str = "label", told: bool = True, **settings: Any) -> str | None:
    return Labels(DataConfig(**settings), column, told, {}).meaning(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("harmful", "harmful"),
        (" Unsafe ", "harmful"),
        ("BENIGN", "benign"),
        ("unharmful", "benign"),
        (1, "harmful"),
        (1.0, "harmful"),
        ("1.0", "harmful"),
        (True, "harmful"),
        ("no", "benign"),
        (0.0, "benign"),
        (["safe"], "benign"),
        (["safe", "benign"], "benign"),
        (["safe", "harmful"], None),
        (["safe", "x"], None),
        ([], None),
        ("", None),
        (None, None),
        (float("nan"), None),
        ({"harmful": True}, None),
        ("harm", None),
        ("not harmful", None),
        ("toxic", None),
        (2, None),
        (0.5, None),
    ],
)
def test_a_value_means_what_is_known_of_it_and_else_nothing(value: Any, expected: str | None) -> None:
    assert meaning(value) == expected


@pytest.mark.parametrize(
    ("column", "told", "expected"),
    [
        ("label", True, "harmful"),
        ("is_toxic", True, "harmful"),
        ("jailbreaking", True, "harmful"),
        ("label", False, None),  # nobody said that it is the column of kinds
        ("is_safe", True, None),
        ("harmless", True, None),
        ("not_harmful", True, None),
        ("adversarial", True, None),
        ("score", True, None),
    ],
)
def test_what_true_means_depends_on_the_question_of_the_column(column: str, told: bool, expected: str | None) -> None:
    for value in (True, 1, "yes"):
        assert meaning(value, column, told) == expected
    assert meaning(True, column, told, benign_values=["true"], harmful_values=["false"]) == "benign"
    assert meaning("unsafe", column, told) == "harmful"


def test_a_list_of_the_settings_takes_a_value_from_the_default_of_the_other() -> None:
    assert meaning("0", harmful_values=["0"]) == "harmful"
    assert meaning("1", harmful_values=["0"]) is None, "a list that is given replaces the truth values of its default"
    assert meaning("0", harmful_values=["2"]) is None, "classes 0, 1, 2 are no yes and no"
    assert meaning("0", harmful_values=["1"]) == "benign"
    assert meaning("safe", harmful_values=["safe"]) == "harmful"
    assert meaning("harmful", harmful_values=["bad"]) == "harmful", "words that mean one thing keep it"


def test_values_can_be_left_out_on_purpose() -> None:
    for value in ("", None, float("nan")):
        assert meaning(value, skip_values=[""]) == "skip"
    assert meaning("Harmful", skip_values=["harmful"]) == "skip"


def test_a_value_for_two_meanings_is_refused() -> None:
    with pytest.raises(UserError, match=r"data\.harmful_values and data\.benign_values both list 'x': a value means"):
        meaning("x", harmful_values=["x"], benign_values=["X"])


def test_the_command_line_takes_words_numbers_and_nothing() -> None:
    data = load(["data.harmful_values=[1,true,bad]", "data.benign_values=ok,fine", "data.skip_values=['',x]"]).data
    assert data.harmful_values == ("1", "true", "bad")
    assert (data.benign_values, data.skip_values) == (("ok", "fine"), ("", "x"))
    assert load(["data.columns.text=[ContextString,Behavior]"]).data.columns == {"text": ("ContextString", "Behavior")}
    assert load(["data.columns.text=a, b"]).data.columns == {"text": "a, b"}


def test_an_encoding_that_python_does_not_know_is_refused() -> None:
    with pytest.raises(UserError, match=r"data\.encoding=utf-99: should be an encoding that Python knows"):
        load(["data.encoding=utf-99"])
