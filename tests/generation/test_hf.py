from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from superalign.config.sections import GeneratorConfig, LoraConfig
from superalign.errors import UserError
from superalign.generation.base import Generation, GenerationRequest
from superalign.generation.hf import HFGenerator
from superalign.models import load_base, load_chat
from superalign.models.caches import cache_bytes, make_cache

LORA = LoraConfig(r=4, alpha=8)


def make(model: str, batch_tokens: int | None = None, roles: tuple[str, ...] = ("attacker", "learner")) -> HFGenerator:
    return HFGenerator(dict.fromkeys(roles, model), LORA, GeneratorConfig(batch_tokens=batch_tokens), threads=1)


def requests(n: int, temperature: float, role: str = "learner", tokens: int = 12) -> list[GenerationRequest]:
    rng = np.random.default_rng(0)
    prompts = [tuple(rng.integers(5, 300, rng.integers(1, 30)).tolist()) for _ in range(n)]
    return [GenerationRequest(role, prompt, tokens, temperature) for prompt in prompts]


def adapter(model: str, seed: int, size: float = 0.3) -> dict[str, np.ndarray]:
    rng, tensors = np.random.default_rng(seed), {}
    for name, module in load_base(model).named_modules():
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            prefix, (outputs, inputs) = f"base_model.model.{name}", module.weight.shape
            tensors[f"{prefix}.lora_A.weight"] = rng.normal(0, size, (LORA.r, inputs)).astype(np.float32)
            tensors[f"{prefix}.lora_B.weight"] = rng.normal(0, size, (outputs, LORA.r)).astype(np.float32)
    return tensors


def words(generations: list[Generation]) -> list[tuple[int, ...]]:
    return [generation.token_ids for generation in generations]


def test_the_same_seed_gives_the_same_generations_and_another_seed_others(tiny_model: str) -> None:
    generator, asked = make(tiny_model), requests(12, temperature=1.0)
    assert generator.generate(asked, seed=1) == generator.generate(asked, seed=1)
    assert words(generator.generate(asked, seed=1)) != words(generator.generate(asked, seed=2))


def test_another_process_generates_the_same(tiny_model: str) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from superalign.config.sections import *; from superalign.generation.base import *\n"
        "from superalign.generation.hf import HFGenerator\n"
        "g = HFGenerator({'learner': sys.argv[1]}, LoraConfig(), GeneratorConfig(), threads=1)\n"
        "print([x.token_ids for x in g.generate([GenerationRequest('learner', (9, 10), 8, 1.0)] * 3, seed=4)])"
    )
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", code, tiny_model, root]
    there = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    here = make(tiny_model).generate([GenerationRequest("learner", (9, 10), 8, 1.0)] * 3, seed=4)
    assert there == str(words(here))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_batches_of_any_size_give_the_same_words_in_the_order_asked(tiny_model: str, temperature: float) -> None:
    asked = requests(12, temperature)
    together = make(tiny_model).generate(asked, seed=3)
    apart = make(tiny_model, batch_tokens=1).generate(asked, seed=3)
    assert words(together) == words(apart)
    assert len({request.prompt_ids for request in asked}) == 12
    if temperature == 0.0:
        generator = make(tiny_model)
        assert words(together) == [words(generator.generate([one], seed=9))[0] for one in asked]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_cache_takes_what_it_is_said_to_take(tiny_model: str, dtype: str) -> None:
    model = load_base(tiny_model, dtype)
    cache = make_cache(model, 7)
    model(input_ids=torch.ones(3, 7, dtype=torch.long), past_key_values=cache, use_cache=True)
    taken = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert taken == 3 * 7 * cache_bytes(model)


def test_samples_of_one_prompt_differ_from_each_other(tiny_model: str) -> None:
    asked = requests(1, temperature=1.0) * 6
    assert len(set(words(make(tiny_model).generate(asked, seed=0)))) > 1


def test_greedy_and_sampled_requests_mix_in_one_batch(tiny_model: str) -> None:
    greedy, sampled = requests(4, 0.0), requests(4, 1.0)
    mixed = make(tiny_model).generate([*greedy, *sampled], seed=0)
    assert words(mixed[:4]) == words(make(tiny_model).generate(greedy, seed=7))


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
def test_logprobs_equal_a_teacher_forced_forward_at_temperature_1(tiny_model: str, temperature: float) -> None:
    generator, asked = make(tiny_model), requests(8, temperature)
    generator.load_adapter("learner", adapter(tiny_model, 1), 1)
    generations = generator.generate(asked, seed=0)
    forced = generator.sequence_logprobs("learner", [r.prompt_ids for r in asked], words(generations))
    for generation, expected in zip(generations, forced, strict=True):
        assert generation.logprobs == pytest.approx(expected, abs=2e-4)


def test_sequence_logprobs_of_the_base_equal_the_plain_model(tiny_model: str) -> None:
    generator = make(tiny_model)
    generator.load_adapter("learner", adapter(tiny_model, 1), 1)
    prompts, completions = [(5, 6, 7), (8,)], [(9, 10), (11, 12, 13, 14)]
    model = load_base(tiny_model)
    for prompt, completion, got in zip(
        prompts, completions, generator.sequence_logprobs(None, prompts, completions), strict=True
    ):
        with torch.no_grad():
            logps = model(torch.tensor([[*prompt, *completion]])).logits[0].log_softmax(-1)
        start = len(prompt) - 1
        expected = [logps[start + i, token].item() for i, token in enumerate(completion)]
        assert got == pytest.approx(expected, abs=1e-4)


def test_an_empty_completion_has_no_logprobs(tiny_model: str) -> None:
    assert make(tiny_model).sequence_logprobs("learner", [(5, 6)], [()]) == [[]]


def test_choice_logits_are_normalised_over_the_whole_vocabulary(tiny_model: str) -> None:
    generator = make(tiny_model)
    (everything,) = generator.choice_logits("learner", [(5, 6, 7)], range(320))
    assert sum(map(math.exp, everything)) == pytest.approx(1.0, abs=1e-4)
    pair = generator.choice_logits("learner", [(9,), (5, 6, 7)], [42, 7])
    assert pair[1] == pytest.approx([everything[42], everything[7]], abs=1e-4)
    ((one,),) = generator.sequence_logprobs("learner", [(5, 6, 7)], [(42,)])
    assert pair[1][0] == pytest.approx(one, abs=1e-4)


def test_a_fresh_role_is_the_base_itself(tiny_model: str) -> None:
    generator = make(tiny_model)
    assert generator.versions() == {"attacker": 0, "learner": 0}
    args = ([(5, 6, 7)], [(8, 9)])
    assert generator.sequence_logprobs("learner", *args) == generator.sequence_logprobs(None, *args)


def test_loading_an_adapter_changes_only_its_role_and_leaves_no_trace(tiny_model: str) -> None:
    generator = make(tiny_model)
    asked = [request for role in ("attacker", "learner") for request in requests(4, 0.0, role)]
    before = generator.generate(asked, seed=0)
    assert generator.load_adapter("learner", adapter(tiny_model, 1), version=5) == 5
    after = generator.generate(asked, seed=0)
    assert after[:4] == before[:4]
    assert words(after[4:]) != words(before[4:])
    assert {generation.version for generation in after[4:]} == {5}
    assert generator.versions() == {"attacker": 0, "learner": 5}
    again = make(tiny_model)
    again.load_adapter("learner", adapter(tiny_model, 1), version=5)
    assert again.generate(asked, seed=0) == after


def test_a_served_adapter_is_the_one_that_peft_serves(tiny_model: str) -> None:
    from peft import LoraConfig as PeftLora
    from peft import get_peft_model, set_peft_model_state_dict

    tensors = adapter(tiny_model, 2)
    settings = PeftLora(r=LORA.r, lora_alpha=LORA.alpha, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(load_base(tiny_model), settings).eval()
    result = set_peft_model_state_dict(model, {key: torch.tensor(value) for key, value in tensors.items()})
    assert not result.unexpected_keys
    with torch.no_grad():
        expected = model(torch.tensor([[5, 6, 7]])).logits[0, -1].log_softmax(-1)
    generator = make(tiny_model)
    generator.load_adapter("learner", tensors, 1)
    (got,) = generator.choice_logits("learner", [(5, 6, 7)], range(320))
    assert got == pytest.approx(expected.tolist(), abs=1e-3)


def test_roles_may_have_different_models(make_model: Callable[..., str]) -> None:
    first, second = make_model("one", seed=1), make_model("two", seed=2)
    generator = HFGenerator({"critic": first, "learner": second}, LORA, GeneratorConfig(), threads=1)
    both = generator.generate([*requests(3, 0.0, "critic"), *requests(3, 0.0, "learner")], seed=0)
    assert words(both[:3]) == words(make(first).generate(requests(3, 0.0), seed=0))
    assert words(both[3:]) == words(make(second).generate(requests(3, 0.0), seed=0))


def test_a_stop_token_ends_a_completion_and_is_not_part_of_it(tiny_model: str) -> None:
    generator = make(tiny_model)
    generations = generator.generate([GenerationRequest("learner", (9, 10), 100, 1.5)] * 64, seed=0)
    stop = next(iter(load_chat(tiny_model).stop_ids))
    ended = [generation for generation in generations if generation.finished]
    assert ended
    for generation in generations:
        assert stop not in generation.token_ids
        assert len(generation.logprobs) == len(generation.token_ids)
        assert (generation.stop_logprob is not None) == generation.finished
        assert generation.finished or len(generation.token_ids) == 100
    args = ([(9, 10, *ended[0].token_ids)], [(stop,)])
    assert ended[0].stop_logprob == pytest.approx(generator.sequence_logprobs("learner", *args)[0][0], abs=1e-4)


def test_a_prompt_longer_than_the_context_is_named_with_its_length(tiny_model: str) -> None:
    long = GenerationRequest("learner", (9,) * 128, 4, 0.0)
    with pytest.raises(UserError, match=r"prompt 1 has 128 tokens, more than the 127 .* context of 128"):
        make(tiny_model).generate([*requests(1, 0.0), long], seed=0)
    with pytest.raises(UserError, match="prompt 0 is empty"):
        make(tiny_model).generate([GenerationRequest("learner", (), 4, 0.0)], seed=0)


def test_new_tokens_are_cut_to_what_the_context_leaves(tiny_model: str) -> None:
    (generation,) = make(tiny_model).generate([GenerationRequest("learner", (9,) * 125, 50, 0.0)], seed=0)
    assert len(generation.token_ids) + generation.finished <= 3


def test_tensors_of_another_model_and_unknown_roles_are_refused(tiny_model: str) -> None:
    generator, tensors = make(tiny_model), adapter(tiny_model, 1)
    key = next(iter(tensors))
    with pytest.raises(ValueError, match="belongs to no linear layer"):
        generator.load_adapter("learner", {key.replace("layers.0", "layers.9"): tensors[key]}, 1)
    with pytest.raises(ValueError, match="do not fit"):
        generator.load_adapter("learner", {k: v.T.copy() for k, v in tensors.items()}, 1)
    with pytest.raises(ValueError, match="unknown role 'judge'"):
        generator.choice_logits("judge", [(5,)], [1])
    assert generator.versions()["learner"] == 0


def test_sampling_follows_the_distribution(tiny_model: str) -> None:
    generator = make(tiny_model)
    prompt = (9, 10)
    (logps,) = generator.choice_logits("learner", [prompt], range(320))
    n, best = 3000, max(range(320), key=logps.__getitem__)
    drawn = generator.generate([GenerationRequest("learner", prompt, 1, 1.0)] * n, seed=0)
    p = math.exp(logps[best])
    share = sum(generation.token_ids == (best,) for generation in drawn) / n
    assert abs(share - p) < 4 * math.sqrt(p * (1 - p) / n)


def test_a_gpu_without_enough_memory_is_one_line_that_names_what_needs_less(
    tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of")

    monkeypatch.setattr("superalign.generation.hf.decode", full)
    with pytest.raises(UserError, match=r"Tried to allocate 2.00 GiB\): lower generator.batch_tokens"):
        make(tiny_model).generate(requests(1, 0.0), seed=0)


def test_the_story_model_tells_a_story(stories: str) -> None:
    chat = load_chat(stories)
    prompt = tuple([chat.tokenizer.bos_token_id, *chat.encode("Once upon a time")])
    (generation,) = make(stories).generate([GenerationRequest("learner", prompt, 24, 0.0)], seed=0)
    assert np.mean(generation.logprobs) > -1.5
