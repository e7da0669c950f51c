"""After a sync the engine answers with what was pushed, told by its output, and nothing is left behind."""

from __future__ import annotations

import gc
from itertools import pairwise
from pathlib import Path

import pytest

from superalign.generation.base import GenerationRequest
from superalign.generation.hf import HFGenerator
from superalign.generation.vllm import VLLMGenerator
from superalign.models import load_base
from tests.vllm.parts import ROLES, adapter, asked, furthest, hf, load_both, noise, prompts, save_qwen, served, words

Engines = tuple[HFGenerator, VLLMGenerator]


def resident_mb() -> float:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def test_after_each_sync_both_engines_answer_with_the_new_adapter(engines: Engines) -> None:
    said = []
    for version in range(10, 14):
        load_both(engines, "learner", adapter("testbed", version), version)
        one, two = (generator.generate(asked("learner", 12), seed=0) for generator in engines)
        assert words(one) == words(two)
        assert {generation.version for generation in two} == {version}
        said.append(words(two))
    for before, after in pairwise(said):
        assert sum(a != b for a, b in zip(before, after, strict=True)) >= 10


def test_a_version_pushed_again_with_other_weights_is_served_with_those(engines: Engines) -> None:
    for seed in (20, 21, 20):
        load_both(engines, "learner", adapter("testbed", seed), 20)
        one, two = (words(generator.generate(asked("learner", 6), seed=0)) for generator in engines)
        assert one == two


def test_a_kept_prefix_cache_never_serves_another_version(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our engine clears the cache at every call; here vLLM keeps it, and names alone have to tell versions apart."""
    monkeypatch.setattr(engines[1]._engines["testbed"]._llm, "reset_prefix_cache", lambda: True)
    head = prompts(1)[0] * 9  # several blocks of the cache, which all requests share
    requests = [GenerationRequest("learner", (*head[:150], *p), 16, 0.0) for p in prompts(6)]
    for seed in (30, 31, 30):
        load_both(engines, "learner", adapter("testbed", seed), 30)
        one, two = (words(generator.generate(requests, seed=0)) for generator in engines)
        assert one == two


def test_50_syncs_in_a_row_leave_memory_flat_and_no_stale_answer(engines: Engines) -> None:
    transformers, vllm = engines
    adapters = [adapter("testbed", seed) for seed in range(5)]
    expected = []
    for tensors in adapters:
        transformers.load_adapter("learner", tensors, 1)
        expected.append(words(transformers.generate(asked("learner", 6), seed=0)))
    assert len({tuple(each) for each in expected}) == 5
    engine, used = vllm._engines["testbed"], []
    for turn in range(50):
        vllm.load_adapter("learner", adapters[turn % 5], 100 + turn)
        assert words(vllm.generate(asked("learner", 6), seed=0)) == expected[turn % 5]
        assert len(engine.loaded()) <= len(ROLES)
        used.append(resident_mb())
    print(f"resident MB after 10, 30, 50 syncs: {used[9]:.1f} {used[29]:.1f} {used[49]:.1f}")
    assert used[49] - used[9] < 16
    folder = Path(vllm._syncs["testbed"].serve("learner").path).parent
    assert len(list(folder.iterdir())) <= len(ROLES)


def test_requests_without_adapter_stay_the_base_beside_adapters_in_any_slots(engines: Engines) -> None:
    """On CPU vLLM gives them whatever is in the last slot: with max_loras = adapters + 1 the second sync fills it."""
    plain = hf(dict.fromkeys(ROLES, "testbed"))
    completions = words(plain.generate(asked("learner", 8), seed=0))
    expected = plain.sequence_logprobs(None, prompts(8), completions)
    mixed = [r for each in zip(*(asked(role, 8) for role in (*ROLES, "judge")), strict=True) for r in each]
    for version in range(40, 44):
        for number, role in enumerate(ROLES):
            load_both(engines, role, adapter("testbed", version + 10 * number), version)
        one, two = (generator.generate(mixed, seed=0) for generator in engines)
        assert words(one) == words(two)
        assert [generation.version for generation in two[:4]] == [version, version, version, 0]
        assert furthest(engines[1].sequence_logprobs(None, prompts(8), completions), expected) < 1e-4


def test_base_and_adapters_share_one_batch(engines: Engines) -> None:
    """Role by role what a mixed batch says is what the role says alone."""
    fresh = served({"attacker": "testbed", "judge": "testbed", "learner": "testbed"})
    for number, role in enumerate(("attacker", "learner")):
        fresh.load_adapter(role, adapter("testbed", 50 + number), 1)
    roles = ("attacker", "judge", "learner")
    mixed = [GenerationRequest(roles[i % 3], prompt, 24, 0.0) for i, prompt in enumerate(prompts(30))]
    together = fresh.generate(mixed, seed=0)
    for place, role in enumerate(roles):
        alone = fresh.generate([request for request in mixed if request.role == role], seed=0)
        assert words(together[place::3]) == words(alone)
    assert [g.version for g in together[:3]] == [1, 0, 1]


def test_roles_may_have_different_models(tied: tuple[str, str]) -> None:
    one, two = tied
    roles = {"critic": one, "judge": one, "learner": two}
    both = (hf(roles), served(roles))
    load_both(both, "critic", adapter(one, 1), 1)
    load_both(both, "learner", adapter(two, 2), 4)
    requests = [r for role in roles for r in asked(role, 6, model_prompts=noise(6))]
    first, second = (generator.generate(requests, seed=0) for generator in both)
    assert words(first) == words(second)
    assert both[1].versions() == {"critic": 1, "judge": 0, "learner": 4}


def test_tied_embeddings_are_replaced_whole_the_output_head_too(tied: tuple[str, str]) -> None:
    one, two = tied
    generator = served({"learner": one}, sync="full")
    rows = noise(8)
    args = ([row[:1] for row in rows], [row[1:] for row in rows])
    assert (
        furthest(generator.sequence_logprobs("learner", *args), hf({"learner": one}).sequence_logprobs(None, *args))
        < 1e-4
    )
    expected = hf({"learner": two}).sequence_logprobs(None, *args)
    generator._engines[one].reload(load_base(two).state_dict().items())
    assert furthest(generator.sequence_logprobs("learner", *args), expected) < 1e-4


@pytest.mark.parametrize("model", ["testbed", "qwen"])
def test_full_sync_serves_merged_weights_and_gives_the_base_back(model: str, tmp_path: Path) -> None:
    model = save_qwen(tmp_path / "qwen", seed=3) if model == "qwen" else model
    roles = {"judge": model, "learner": model}
    both = (hf(roles), served(roles, sync="full"))
    rows = noise(6)
    requests = [GenerationRequest(role, row, 16, 0.0) for row in rows for role in roles]
    said = []
    for version in range(1, 4):
        load_both(both, "learner", adapter(model, version), version)
        one, two = (generator.generate(requests, seed=0) for generator in both)
        assert words(one) == words(two)
        assert [generation.version for generation in two[:2]] == [0, version]
        said.append(words(two))
    judge, learner = ([each[place::2] for each in said] for place in (0, 1))
    assert judge[0] == judge[1] == judge[2]
    assert learner[0] != learner[1] != learner[2]
    args = (rows, learner[2])
    for role in (None, "learner", "judge"):
        assert furthest(*(generator.sequence_logprobs(role, *args) for generator in both)) < 1e-4


def test_tensors_of_another_model_are_refused_and_nothing_changes(engines: Engines, tied: tuple[str, str]) -> None:
    load_both(engines, "learner", adapter("testbed", 60), 60)
    before = engines[1].generate(asked("learner", 4), seed=0)
    with pytest.raises(ValueError, match="do not fit"):
        engines[1].load_adapter("learner", adapter(tied[0], 1), 61)
    assert engines[1].generate(asked("learner", 4), seed=0) == before
    assert engines[1].versions()["learner"] == 60
