"""What is sampled depends on the seed and the place in the call, and on nothing else."""

from __future__ import annotations

import math

from superalign.generation.base import GenerationRequest
from superalign.generation.hf import HFGenerator
from superalign.generation.vllm import VLLMGenerator
from tests.vllm.parts import asked, prompts, words

Engines = tuple[HFGenerator, VLLMGenerator]


def test_the_same_seed_gives_the_same_generations_and_another_seed_others(engines: Engines) -> None:
    generator, requests = engines[1], asked("learner", 12, temperature=1.0)
    first = generator.generate(requests, seed=1)
    generator.generate(asked("critic", 40), seed=5)  # fills the prefix cache with other things
    assert generator.generate(requests, seed=1) == first
    assert words(generator.generate(requests, seed=2)) != words(first)


def test_a_request_gets_the_same_words_whatever_else_is_in_the_batch(engines: Engines) -> None:
    generator, requests = engines[1], asked("learner", 12, temperature=1.0)
    together = words(generator.generate([*requests, *asked("critic", 40, temperature=1.0)], seed=3))
    assert together[:12] == words(generator.generate(requests, seed=3))
    assert together[:5] == words(generator.generate(requests[:5], seed=3))


def test_samples_of_one_prompt_differ_from_each_other(engines: Engines) -> None:
    requests = asked("learner", 1, temperature=1.5) * 8
    assert len(set(words(engines[1].generate(requests, seed=0)))) > 1


def test_greedy_and_sampled_requests_mix_in_one_batch(engines: Engines) -> None:
    greedy, sampled = asked("learner", 6), asked("learner", 6, temperature=1.0)
    mixed = words(engines[1].generate([*greedy, *sampled], seed=0))
    assert mixed[:6] == words(engines[0].generate(greedy, seed=0))


def test_more_prompts_than_fit_one_step_can_be_sampled_with_seeds(engines: Engines) -> None:
    """On CPU vLLM fails where the end of a step cuts a prompt with a seed in two."""
    requests = [GenerationRequest("learner", p * 3, 2, 1.0) for p in prompts(100)]
    assert sum(len(request.prompt_ids) for request in requests) > 2 * 4096
    generations = engines[1].generate(requests, seed=0)
    assert generations[:40] == engines[1].generate(requests[:40], seed=0)


def test_sampling_follows_the_distribution(engines: Engines) -> None:
    generator, prompt, n = engines[1], prompts(1)[0][:-3], 2000
    (logps,) = generator.choice_logits("learner", [prompt], range(1024))
    drawn = generator.generate([GenerationRequest("learner", prompt, 1, 1.0)] * n, seed=0)
    # A drawn stop token leaves a completion without tokens.
    for token in sorted(range(2, 1024), key=logps.__getitem__, reverse=True)[:3]:
        p = math.exp(logps[token])
        share = sum(generation.token_ids == (token,) for generation in drawn) / n
        assert abs(share - p) < 4 * math.sqrt(p * (1 - p) / n)
