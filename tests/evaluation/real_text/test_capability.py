"""Multiple choice by log-probability and the perplexity of reference answers, on the shipped base and by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from superalign.data.choices import Question
from superalign.data.references import Reference
from superalign.evaluation.real_text.capability import chosen_rightly, surprise
from superalign.evaluation.real_text.measuring import measure_real_text
from superalign.evaluation.real_text.sets import read_sets
from superalign.generation.hf import HFGenerator
from superalign.models import load_chat
from tests.evaluation.real_text.parts import ByWords, Says, examined, settings, write

CHAT = load_chat("testbed-small")


class Given:
    """A generator that gives each completion the log-probabilities that a test chose for its text."""

    def __init__(self, by_text: dict[str, float]) -> None:
        self.by_text, self.roles = by_text, list[str | None]()

    def sequence_logprobs(
        self, role: str | None, prompts: Sequence[tuple[int, ...]], completions: Sequence[tuple[int, ...]]
    ) -> list[list[float]]:
        """Spread evenly over the tokens."""
        self.roles.append(role)
        texts = [CHAT.decode(completion) for completion in completions]
        return [[self.by_text[t] / len(c)] * len(c) for t, c in zip(texts, completions, strict=True)]


@pytest.fixture(scope="module")
def generator() -> HFGenerator:
    config = settings()
    return HFGenerator({"learner": "testbed-small"}, config.lora, config.generator, threads=1)


def asked(generator: Any, right: int, *choices: str) -> float:
    (found,) = chosen_rightly("accuracy_x", [Question("q", "what is it?", choices, right)], generator, CHAT)
    return found.value


def test_log_probabilities_are_divided_by_the_length_of_the_choice() -> None:
    """-8 over 8 bytes is likelier by its length than -4 over 2 bytes, though -8 < -4."""
    given = Given({"abcdefgh": -8.0, "no": -4.0})
    assert (asked(given, 0, "abcdefgh", "no"), asked(given, 1, "abcdefgh", "no")) == (1.0, 0.0)
    assert set(given.roles) == {"learner"}


def test_perplexity_weighs_texts_by_their_tokens() -> None:
    given = Given({"yes": -3.0, "a long answer": -13.0})
    short, long = surprise(
        "perplexity_x", [Reference("a", "q", "yes"), Reference("b", "q", "a long answer")], given, CHAT
    )  # type: ignore[arg-type]
    assert (short.value * short.weight, long.value * long.weight) == (pytest.approx(3), pytest.approx(13))
    assert short.weight == len(CHAT.encode("yes"))


def test_what_does_not_fit_the_context_is_cut(generator: HFGenerator) -> None:
    (found,) = surprise(
        "perplexity_x", [Reference("a", "what is it? " * 200, "first get a lamp " * 200)], generator, CHAT
    )
    assert found.weight == CHAT.context // 4 and math.isfinite(found.value)


def test_capability_is_measured_on_the_model_and_paired_with_round_0(tmp_path: Path, generator: HFGenerator) -> None:
    """Its own language is likelier than what is none; an unchanged model has a ratio of exactly 1."""
    mine, none = "first get a lamp and then a brush", "zqx jvk wqp zqx jvk wqp zqx"
    choices = write(
        tmp_path,
        "c.jsonl",
        [{"question": f"how do i {i}?", "choices": [mine, none], "answer": i % 2} for i in range(6)],
    )
    texts = write(tmp_path, "t.jsonl", [{"prompt": f"how do i {i}?", "response": mine} for i in range(6)])
    config = settings(choices={"own": choices}, texts={"own": texts}).model_copy(update={"model": "testbed-small"})
    sets, who = read_sets(config, []), examined(config, Says(lambda query: False), ByWords(), generator)
    before = measure_real_text(sets, who)
    assert before.metrics["accuracy_own"].value == 0.5 and before.metrics["accuracy_own"].n == 6
    assert before.metrics["perplexity_own"].value > 1 and before.check is None
    after = measure_real_text(sets, who, before.items).metrics
    ratio, change = after["perplexity_own_ratio"], after["accuracy_own_change"]
    assert (ratio.value, ratio.low, ratio.high, change.value) == (1, 1, 1, 0)
