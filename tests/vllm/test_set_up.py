"""What cannot be served is refused before the first request; bfloat16 and actors work."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from superalign.config.sections import GeneratorConfig, LoraConfig
from superalign.errors import UserError
from superalign.generation.vllm import VLLMGenerator
from tests.vllm.parts import LORA, adapter, asked, served, words

ROOT = Path(__file__).parents[2]

SHORT_PROMPT_FIRST = """
import sys
from superalign.generation.base import GenerationRequest
from tests.vllm.parts import adapter, asked, furthest, hf, prompts, served, words
roles = {"attacker": "testbed", "learner": "testbed"}
generator = served(roles, dtype="bfloat16")
generator.generate([GenerationRequest("learner", (9, 10), 4, 0.0)], seed=0)
for role in roles:
    generator.load_adapter(role, adapter("testbed", 1, 0.05), 1)
completions = words(generator.generate(asked("learner", 24), seed=0))
reference = hf(roles)
reference.load_adapter("learner", adapter("testbed", 1, 0.05), 1)
one, two = (g.sequence_logprobs("learner", prompts(24), completions) for g in (generator, reference))
differences = [abs(a - b) for x, y in zip(one, two, strict=True) for a, b in zip(x, y, strict=True)]
print("difference", sum(differences) / len(differences))
"""


ACTOR = """
import sys
from pathlib import Path
from superalign.errors import UserError
from superalign.generation.base import GenerationRequest
from superalign.generation.vllm import VLLMGenerator
from superalign.runtime.connection import start
from superalign.config.sections import ClusterConfig, GeneratorConfig
from tests.vllm.parts import LORA, adapter, asked, hf, words
roles = {"attacker": "testbed", "learner": "testbed"}
here = hf(roles)
with start(ClusterConfig(threads=1), Path(sys.argv[1])) as cluster:
    config = GeneratorConfig(backend="vllm", kv_cache_gb=0.25)
    there = cluster.spawn("generator", VLLMGenerator, roles, LORA, config, 1, threads=1)
    cluster.ready()
    for generator in (here, there):
        assert generator.load_adapter("learner", adapter("testbed", 1), 1) == 1
    requests = [*asked("learner", 6), *asked("attacker", 6)]
    same = words(there.generate(requests, seed=0)) == words(here.generate(requests, seed=0))
    try:
        there.generate([GenerationRequest("learner", (), 4, 0.0)], seed=0)
    except UserError as error:
        print(same, error)
assert "vllm.engine" not in str(sorted(sys.modules))
"""


def test_bfloat16_survives_a_short_first_prompt_and_means_the_same() -> None:
    """In a process of its own: without AMX asked for it dies of SIGILL."""
    done = subprocess.run([sys.executable, "-c", SHORT_PROMPT_FIRST], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("difference")]
    assert float(line.split()[1]) < 0.05


def test_an_actor_serves_as_a_plain_object_does(tmp_path: Path) -> None:
    """In a process of its own: vLLM imports Ray before Ray's token is set, and a run's own process imports no vLLM."""
    done = subprocess.run([sys.executable, "-c", ACTOR, tmp_path], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "True prompt 0 is empty; a prompt needs at least 1 token"


def test_heads_of_a_size_without_kernel_are_refused(make_model: Callable[..., str]) -> None:
    with pytest.raises(UserError, match=r"its attention heads have size 8, and vLLM on a CPU knows 32, 64"):
        served({"learner": make_model()})


def test_a_rank_beyond_the_engines_is_refused() -> None:
    with pytest.raises(UserError, match=r"lora\.r=600: vLLM serves adapters of rank 512 at most"):
        VLLMGenerator({"learner": "testbed"}, LoraConfig(r=600), GeneratorConfig(backend="vllm"), threads=1)


def test_memory_that_is_not_there_is_refused_in_one_line() -> None:
    config = GeneratorConfig(backend="vllm", kv_cache_gb=10_000)
    with pytest.raises(UserError, match=r"vLLM cannot serve it here .*generator\.kv_cache_gb") as refused:
        VLLMGenerator({"learner": "testbed"}, LORA, config, threads=1)
    assert "\n" not in str(refused.value)


def test_sleep_without_a_gpu_is_refused() -> None:
    with pytest.raises(UserError, match=r"generator\.sleep=true frees a GPU's memory; there is no GPU here"):
        served({"learner": "testbed"}, sleep=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU, which is not here")
def test_after_sleep_the_same_adapter_answers_the_same() -> None:
    generator = served({"learner": "testbed"}, sleep=True)
    generator.load_adapter("learner", adapter("testbed", 1), 1)
    before, full = words(generator.generate(asked("learner", 8), seed=0)), torch.cuda.mem_get_info()[0]
    generator.sleep()
    assert torch.cuda.mem_get_info()[0] > full
    assert words(generator.generate(asked("learner", 8), seed=0)) == before


def test_several_processors_without_a_gpu_are_refused() -> None:
    with pytest.raises(UserError, match=r"generator\.tensor_parallel=2 needs as many GPUs"):
        served({"learner": "testbed"}, tensor_parallel=2)
