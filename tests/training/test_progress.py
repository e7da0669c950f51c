"""Generation and training tell how far they are, and cost nothing where nobody listens."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from superalign.config.sections import GeneratorConfig
from superalign.generation.base import GenerationRequest
from superalign.generation.hf import HFGenerator
from superalign.store import progress
from superalign.store.progress import Count, advance
from tests.training.phases import SFT, sft
from tests.training.tiny import LORA, demonstrations, make_service


@pytest.fixture
def told() -> Iterator[list[Count]]:
    """What is told."""
    counts: list[Count] = []
    progress.tell_to(counts.append)
    yield counts
    progress.tell_to(None)


def numbers(counts: list[Count], what: str) -> list[tuple[int, int]]:
    return [(count.done, count.of) for count in counts if count.what == what]


def test_every_optimizer_step_is_told(tiny_model: str, told: list[Count]) -> None:
    rows = demonstrations()
    make_service(tiny_model).train("learner", SFT, rows, sft(learning_rate=1e-3, batch_size=4, epochs=2), seed=0)
    steps = 2 * -(-len(rows) // 4)
    assert numbers(told, "steps") == [(step, steps) for step in range(1, steps + 1)]


def test_requests_and_verdicts_are_told_as_they_are_done(tiny_model: str, told: list[Count]) -> None:
    generator = HFGenerator({"learner": tiny_model}, LORA, GeneratorConfig(batch_tokens=64), threads=1)
    prompts = [tuple(range(5, 25 + n)) for n in range(4)]
    generator.generate([GenerationRequest("learner", prompt, 8, 1.0) for prompt in prompts], seed=0)
    requests = numbers(told, "requests")
    assert (requests[0], requests[-1]) == ((0, 4), (4, 4))
    assert requests == sorted(requests) and len({done for done, _ in requests}) > 2
    generator.choice_logits("learner", prompts, [1, 2])
    generator.sequence_logprobs("learner", prompts, [(7, 8)] * 4)
    for what in ("verdicts", "answers"):
        assert numbers(told, what)[-1] == (4, 4)


def test_telling_nobody_costs_next_to_nothing() -> None:
    progress.tell_to(None)
    began = time.perf_counter()
    for done in range(10_000):
        advance("steps", done, 10_000)
    assert time.perf_counter() - began < 0.2  # 20 microseconds each, on a busy machine
