"""What our generators cost and gain: vLLM in our actor against plain vLLM, and hf against `transformers.generate`.

    OMP_NUM_THREADS=1 .venv-vllm/bin/python tests/benchmarks/generation.py [PAIRS] [PROMPTS]

Both ways of a comparison answer the same prompts, paired and in turns, on one thread each; printed are ratios of tokens
per second: the geometric mean over pairs with Student's 95 % interval. On a CPU a second is one of processor time, so
that other processes do not count, of this process and of the actor together; on a GPU it is the clock's. Without vLLM
that part is left out. Target of hf against one prompt after the other: 3.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from measure import Figure, of_ratios

from superalign.config.sections import ClusterConfig, GeneratorConfig, LoraConfig
from superalign.generation.base import GenerationRequest, Generator
from superalign.generation.decoding import left_pad
from superalign.generation.engine import ENVIRONMENT, LOGGING
from superalign.generation.hf import HFGenerator
from superalign.models import device, load_base, load_chat, resolve
from superalign.testbed.corpus import Corpus

MODEL = "testbed"
NEW = 64
LORA = LoraConfig()
ROLE = "learner"
BATCHING = 3.0
Prompts = Sequence[tuple[int, ...]]
Way = Callable[[], int]


def prompts_of_testbed(count: int) -> list[tuple[int, ...]]:
    """Requests of the testbed's world."""
    chat, corpus, found = load_chat(MODEL), Corpus(0), []
    for _ in range(count):
        said = corpus.draw()
        until = next(i for i, message in enumerate(said) if message["role"] == "assistant")
        found.append(tuple(chat.prompt_ids(said[:until], NEW)))
    return found


def mixed_prompts(count: int) -> list[tuple[int, ...]]:
    """The same with earlier requests before them, so that lengths are spread evenly (in logarithm) up to 300 tokens."""
    draw = random.Random(0)
    asked = prompts_of_testbed(8 * count)
    found = []
    for last in asked[:count]:
        before = [token for prompt in draw.sample(asked, 8) for token in prompt]
        length = round(np.exp(draw.uniform(np.log(12), np.log(300))))
        found.append((*before[: max(0, length - len(last))], *last)[-300:])
    return found


def requests(prompts: Prompts, temperature: float = 0.0) -> list[GenerationRequest]:
    """The prompts as requests of one role."""
    return [GenerationRequest(ROLE, prompt, NEW, temperature) for prompt in prompts]


def ours(generator: Generator, prompts: Prompts, temperature: float = 0.0) -> int:
    """Tokens that a generator of ours makes of the prompts, stop tokens counted."""
    done = generator.generate(requests(prompts, temperature), 0)
    return sum(len(one.token_ids) + one.finished for one in done)


def compare(
    name: str, what: str, one: Way, two: Way, pairs: int, clock: Callable[[], float], least: float | None = None
) -> Figure:
    """The ratio of both ways' tokens per second."""
    ratios, rates = [], []
    for pair in range(pairs + 1):
        took = {}
        for way in (one, two) if pair % 2 else (two, one):
            began = clock()
            tokens = way()
            took[way] = tokens / (clock() - began)
        if pair:  # the first warms up
            ratios.append(took[one] / took[two])
            rates.append((took[one], took[two]))
    first, second = np.median(rates, axis=0)
    return of_ratios(name, f"{what} ({first:.0f} and {second:.0f} tokens/s)", ratios, least=least)


def hf_part(pairs: int, count: int) -> list[Figure]:
    """hf against `generate`, prompt by prompt and in one padded batch."""
    generator = HFGenerator({ROLE: MODEL}, LORA, GeneratorConfig(), torch.get_num_threads())
    model, chat = load_base(MODEL).to(device()), load_chat(MODEL)
    prompts = mixed_prompts(count)
    lengths = sorted(map(len, prompts))
    given = f"{count} prompts of {lengths[0]} to {lengths[-1]} tokens, {NEW} new"

    def plain(batch: Prompts) -> int:
        ids, mask = left_pad(batch, model.device)
        stops = sorted(chat.stop_ids)
        made = model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=NEW, do_sample=False, eos_token_id=stops, pad_token_id=0
        )[:, ids.shape[1] :]
        stopped = torch.isin(made, torch.tensor(stops, device=made.device))
        after = stopped.cumsum(1) - stopped.long()
        return int((after == 0).sum())

    engine = lambda: ours(generator, prompts)  # noqa: E731
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    alone = lambda: sum(plain([prompt]) for prompt in prompts)  # noqa: E731
    return [
        compare("generation_one_by_one", f"hf / one by one, {given}", engine, alone, pairs, clock, least=BATCHING),
        compare("generation_unsorted", f"hf / one padded batch, {given}", engine, lambda: plain(prompts), pairs, clock),
    ]


def adapter(seed: int, model: str = MODEL) -> dict[str, np.ndarray]:
    """A random adapter of all linear layers, too small to change the answers' lengths much."""
    draw, tensors = np.random.default_rng(seed), {}
    for name, module in load_base(model).named_modules():
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            prefix, (outputs, inputs) = f"base_model.model.{name}", module.weight.shape
            tensors[f"{prefix}.lora_A.weight"] = draw.normal(0, 0.02, (LORA.r, inputs)).astype(np.float32)
            tensors[f"{prefix}.lora_B.weight"] = draw.normal(0, 0.02, (outputs, LORA.r)).astype(np.float32)
    return tensors


def vllm_part(pairs: int, count: int) -> list[Figure]:
    """Our actor against `vllm.LLM.generate` in this process: as anyone would call it, and asked for the same."""
    from superalign.generation.sync.adapter import AdapterSync, room_for
    from superalign.generation.vllm import VLLMGenerator
    from superalign.runtime.connection import start

    prompts, chat = prompts_of_testbed(count), load_chat(MODEL)
    config = GeneratorConfig(backend="vllm")
    stops = {"stop_token_ids": sorted(chat.stop_ids), "max_tokens": NEW}
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as logs, start(ClusterConfig(threads=threads), Path(logs)) as cluster:
        actor = cluster.spawn("generator", VLLMGenerator, {ROLE: MODEL}, LORA, config, threads, threads=threads)
        cluster.ready()
        os.environ.update(ENVIRONMENT)
        os.environ.setdefault(*LOGGING)
        import vllm
        from vllm.lora.request import LoRARequest

        cuda = torch.cuda.is_available()
        # Seeds fail on CPU where a prompt is cut in two.
        whole = {"enable_chunked_prefill": False, "max_num_batched_tokens": 4096}
        where: dict[str, Any] = (
            {"gpu_memory_utilization": config.gpu_memory_utilization}
            if cuda
            else {"kv_cache_memory_bytes": 2**30, "enforce_eager": True, **whole}
        )
        room = {"enable_lora": True, "max_loras": room_for(1), "max_lora_rank": LORA.r}
        llm = vllm.LLM(model=resolve(MODEL), dtype="float32", use_tqdm_on_load=False, **where, **room)

        def plain(lora: Any = None, **settings: Any) -> int:
            given = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
            several = [
                vllm.SamplingParams(
                    **stops, **{key: value[i] if key == "seed" else value for key, value in settings.items()}
                )
                for i in range(count)
            ]
            done = llm.generate(given, several, lora_request=lora, use_tqdm=False)
            return sum(len(one.outputs[0].token_ids) for one in done)

        host = psutil.Process(cluster.pid("generator"))

        def processor() -> float:
            spent = host.cpu_times()
            return time.process_time() + float(spent.user + spent.system)

        clock = time.perf_counter if cuda else processor
        greedy = lambda: ours(actor, prompts)  # noqa: E731
        sampled = lambda: ours(actor, prompts, 1.0)  # noqa: E731
        asked = {"temperature": 1.0, "logprobs": 0, "seed": list(range(count))}
        what = "vLLM: actor / plain"
        found = [
            compare("generation_greedy", f"{what}, greedy", greedy, lambda: plain(temperature=0.0), pairs, clock),
            compare("generation_sampled", f"{what}, sampled", sampled, lambda: plain(temperature=1.0), pairs, clock),
            compare("generation_same", f"{what} asked for the same", sampled, lambda: plain(**asked), pairs, clock),
        ]

        class Written:
            """Keeps the last adapter's folder for the plain engine."""

            slots = room_for(1)

            def add_lora(self, given: Any) -> bool:
                self.request = LoRARequest(given.name, given.number, given.path)
                return True

        written = Written()
        sync = AdapterSync(written, [ROLE], LORA, check=lambda tensors: None)  # type: ignore[arg-type]
        sync.push(ROLE, adapter(1), 1)
        actor.load_adapter(ROLE, adapter(1), 1)
        adapted = lambda: plain(lora=written.request, temperature=0.0)  # noqa: E731
        return [*found, compare("generation_adapter", f"{what}, greedy with an adapter", greedy, adapted, pairs, clock)]


def figures(quick: bool, pairs: int | None = None, count: int | None = None) -> list[Figure]:
    """Every part that this machine allows."""
    pairs, count = pairs or (2 if quick else 8), count or (32 if quick else 128)
    torch.set_num_threads(1)
    return [*hf_part(pairs, count), *(vllm_part(pairs, count) if find_spec("vllm") else [])]


if __name__ == "__main__":
    print(*figures(False, *map(int, sys.argv[1:])), sep="\n")
