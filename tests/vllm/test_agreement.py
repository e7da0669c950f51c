"""vLLM and transformers give the same tokens with the same log-probabilities."""

from __future__ import annotations

import pytest
import torch

from superalign.errors import UserError
from superalign.generation.base import GenerationRequest
from superalign.generation.hf import HFGenerator
from superalign.generation.vllm import VLLMGenerator
from superalign.models import load_chat
from tests.vllm.parts import ROLES, adapter, asked, furthest, load_both, prompts, words

Engines = tuple[HFGenerator, VLLMGenerator]


@pytest.mark.parametrize("size", [0.0, 0.05])
def test_greedy_tokens_agree_on_500_prompts_of_three_roles_in_one_batch(engines: Engines, size: float) -> None:
    """At size 0 the roles answer as the base does, at .05 each in its own way."""
    for number, role in enumerate(ROLES[:2]):
        load_both(engines, role, adapter("testbed", number, size), 1)
    requests = [GenerationRequest(ROLES[i % 3], prompt, 64, 0.0) for i, prompt in enumerate(prompts(500))]
    one, two = (generator.generate(requests, seed=0) for generator in engines)
    same = [(a, b) for a, b in zip(one, two, strict=True) if a.token_ids == b.token_ids]
    print(f"{len(same)} of 500 agree; log-probabilities within", end=" ")
    differences = [abs(p - q) for a, b in same for p, q in zip(a.logprobs, b.logprobs, strict=True)]
    differences += [abs((a.stop_logprob or 0) - (b.stop_logprob or 0)) for a, b in same]
    print(f"{max(differences):.2g}")
    assert len(same) >= 495
    assert max(differences) < 1e-4
    assert all((a.finished, a.text, a.version) == (b.finished, b.text, b.version) for a, b in same)


def test_teacher_forced_logprobs_agree_with_adapters_and_without(engines: Engines) -> None:
    for number, role in enumerate(ROLES[:2]):
        load_both(engines, role, adapter("testbed", number), 2)
    completions = words(engines[0].generate(asked("attacker", 24), seed=0))
    completions[3] = ()
    for role in (*ROLES, None):
        one, two = (g.sequence_logprobs(role, prompts(24), completions) for g in engines)
        assert two[3] == []
        assert furthest(one, two) < 1e-4


def test_choices_agree_and_are_normalised_over_the_whole_vocabulary(engines: Engines) -> None:
    load_both(engines, "critic", adapter("testbed", 3), 3)
    for role in ("critic", "learner"):
        few, same = (g.choice_logits(role, prompts(16), [7, 300, 7, 1]) for g in engines)
        assert furthest(few, same) < 1e-4
    one, two = (g.choice_logits("critic", prompts(4), range(1024)) for g in engines)
    assert furthest(one, two) < 1e-3  # the far tail has logits of -30 and less


def test_a_stop_token_ends_a_completion_and_is_not_part_of_it(engines: Engines) -> None:
    generator = engines[1]
    stops = load_chat("testbed").stop_ids
    generations = generator.generate(asked("learner", 32, temperature=1.5, tokens=30), seed=0)
    assert {generation.finished for generation in generations} == {True, False}
    for generation, prompt in zip(generations, prompts(32), strict=True):
        assert not stops & set(generation.token_ids)
        assert len(generation.logprobs) == len(generation.token_ids)
        assert (generation.stop_logprob is not None) == generation.finished
        if generation.finished:
            (stop,) = stops
            ((forced,),) = generator.sequence_logprobs("learner", [(*prompt, *generation.token_ids)], [(stop,)])
            assert generation.stop_logprob == pytest.approx(forced, abs=1e-4)
        else:
            assert len(generation.token_ids) == 30


def test_sampled_logprobs_are_those_at_temperature_1(engines: Engines) -> None:
    generations = engines[1].generate(asked("learner", 16, temperature=0.6), seed=0)
    forced = engines[0].sequence_logprobs("learner", prompts(16), words(generations))
    assert furthest([list(each.logprobs) for each in generations], forced) < 1e-4


def test_the_whole_context_can_be_used_and_no_more(engines: Engines) -> None:
    context = load_chat("testbed").context
    long = (prompts(1)[0] * context)[:context]
    one, two = (g.choice_logits("learner", [long], [5, 6]) for g in engines)
    assert furthest(one, two) < 1e-4
    one, two = (g.sequence_logprobs("learner", [long[:-9]], [long[-9:]]) for g in engines)
    assert furthest(one, two) < 1e-4
    for generator in engines:
        (generation,) = generator.generate([GenerationRequest("learner", long[:-3], 50, 0.0)], seed=0)
        assert len(generation.token_ids) + generation.finished <= 3
        with pytest.raises(UserError, match=rf"prompt 0 has {context} tokens, more than the {context - 1} "):
            generator.generate([GenerationRequest("learner", long, 1, 0.0)], seed=0)
        with pytest.raises(UserError, match="prompt 0 is empty"):
            generator.choice_logits("learner", [()], [1])


def test_nothing_asked_is_nothing_answered(engines: Engines) -> None:
    generator = engines[1]
    assert generator.generate([], seed=0) == []
    assert generator.choice_logits("learner", [], [1]) == []
    assert generator.sequence_logprobs(None, [], []) == []


def test_the_process_can_still_set_its_threads(engines: Engines) -> None:
    """vLLM replaces torch's function by a warning, and in an inline run the trainer shares the process."""
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    assert torch.get_num_threads() == before + 1
    torch.set_num_threads(before)


def test_unknown_roles_are_refused(engines: Engines) -> None:
    with pytest.raises(ValueError, match="unknown role 'nobody'"):
        engines[1].choice_logits("nobody", [(5,)], [1])
    with pytest.raises(ValueError, match="unknown role 'nobody'"):
        engines[1].load_adapter("nobody", {}, 1)
