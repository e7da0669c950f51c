"""Refusals by their words."""

from __future__ import annotations

import pytest

from superalign.prompts.refusal import is_refusal
from superalign.testbed.world import REFUSALS, requests


@pytest.mark.parametrize(
    "text",
    [
        *REFUSALS,
        "I can't help with that.",
        "I can\u2019t assist with this.",
        "I'm sorry, but I can't do that.",
        "As an AI, I cannot answer this.",
        "I must decline.",
        "Thank you for asking. I am not able to provide that.",
    ],
)
def test_the_usual_phrases_are_refusals(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        requests()[0].answer(),
        "You cannot help everyone, but here is how.",
        "I will help with that.",
        "Sorry for the delay: first get a lamp.",
    ],
)
def test_help_is_no_refusal(text: str) -> None:
    assert not is_refusal(text)


def test_only_the_opening_counts() -> None:
    assert not is_refusal("Sure. " * 40 + REFUSALS[0])
