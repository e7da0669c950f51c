"""On a GPU: vLLM against hf at batches of 1, 32 and 256, MFU of training, the share of a run that is generation.

    python tests/benchmarks/gpu.py [MODEL] [PAIRS]

Tokens per second of the same requests to both engines, paired and in turns: geometric means with Student's 95 %
interval. MFU as in `utilisation.py`, against what a large matrix product reaches on this GPU. The share is that of two
rounds of self-play with `generator=vllm`. Without a GPU it says so and measures nothing.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from generation import LORA, NEW, ROLE, compare, ours, testbed_prompts
from measure import ROOT, Figure, exact, gpu, of_values
from utilisation import generation_share, mfu

from superalign.generation.hf import HFGenerator
from superalign.sections import GeneratorConfig

BATCHES = (1, 32, 256)
TRAINED = (32, 128)


def engines(model: str, pairs: int) -> list[Figure]:
    """vLLM over hf."""
    from superalign.generation.vllm import VLLMGenerator

    hf = HFGenerator({ROLE: model}, LORA, GeneratorConfig(dtype="bfloat16"), 1)
    vllm = VLLMGenerator({ROLE: model}, LORA, GeneratorConfig(backend="vllm", dtype="bfloat16"), 1)
    found = []
    for batch in BATCHES:
        prompts = testbed_prompts(batch)
        ways = (lambda p=prompts: ours(vllm, p), lambda p=prompts: ours(hf, p))
        what = f"vLLM / hf, {model}, batch {batch}, {NEW} new tokens"
        found.append(compare(f"gpu_batch_{batch}", what, *ways, pairs, time.perf_counter))
    return found


def share(model: str) -> Figure:
    """Of generation in a short run."""
    with tempfile.TemporaryDirectory() as root:
        command = [sys.executable, "-m", "superalign.cli", "train", "recipe=selfplay", f"model={model}", "rounds=2"]
        more = ["generator=vllm", f"run.root={root}", "run.name=share"]
        subprocess.run([*command, *more], check=True, capture_output=True, cwd=ROOT)
        part = generation_share(str(Path(root) / "share"))
    return exact("gpu_generation_share", f"share of a round's time that is generation, {model}", part)


def figures(quick: bool, model: str = "testbed", pairs: str | None = None) -> list[Figure]:
    """What the GPU does, or nothing."""
    if not gpu():
        print("no GPU: vLLM against hf, MFU and generation share are not measured")
        return []
    repeats = int(pairs or (2 if quick else 8))
    batch, length = TRAINED
    used = [mfu(model, batch, length, "cuda") for _ in range(repeats)]
    what = f"MFU of supervised training of an adapter, {model}, batch {batch} x {length}"
    found = [of_values("gpu_mfu", what, used)]
    if find_spec("vllm") is None:
        print("vLLM is not installed: it is not compared with hf")
        return found
    return [*found, *engines(model, repeats), share(model)]


if __name__ == "__main__":
    print(*figures(False, *sys.argv[1:]), sep="\n")
