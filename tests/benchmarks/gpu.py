"""On a GPU: hf and vLLM at batches of 1, 32 and 256, MFU of training, the share of a run that is generation.

    python tests/benchmarks/gpu.py [MODEL] [PAIRS]

Tokens per second of hf; then, where vLLM is installed, of the same requests to both engines, paired and in turns:
geometric means with Student's 95 % interval. MFU as in `utilisation.py`, against what a large matrix product reaches on
this GPU in the same number format. The share is that of two rounds of self-play on the testbed, with vLLM where it is
there. Without a GPU it says so and measures nothing.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from generation import LORA, NEW, ROLE, compare, ours, prompts_of_testbed
from measure import ROOT, Figure, exact, gpu, of_values
from utilisation import generation_share, mfu

from superalign.config.sections import GeneratorConfig
from superalign.generation.hf import HFGenerator

BATCHES = (1, 32, 256)
TRAINED = (32, 128)


def rates_of(hf: HFGenerator, model: str, repeats: int) -> list[Figure]:
    """Tokens per second of our own engine."""
    found = []
    for batch in BATCHES:
        prompts, rates = prompts_of_testbed(batch), []
        for _ in range(repeats + 1):
            began = time.perf_counter()
            rates.append(ours(hf, prompts) / (time.perf_counter() - began))
        what = f"hf, {model}, batch {batch}, {NEW} new tokens"
        found.append(of_values(f"gpu_hf_{batch}", what, rates[1:], unit="tokens/s"))  # the first warms up
    return found


def engines(hf: HFGenerator, model: str, pairs: int) -> list[Figure]:
    """vLLM over hf."""
    from superalign.generation.vllm import VLLMGenerator

    vllm = VLLMGenerator({ROLE: model}, LORA, GeneratorConfig(backend="vllm", dtype="bfloat16"), 1)
    found = []
    for batch in BATCHES:
        prompts = prompts_of_testbed(batch)
        ways = (lambda p=prompts: ours(vllm, p), lambda p=prompts: ours(hf, p))
        what = f"vLLM / hf, {model}, batch {batch}, {NEW} new tokens"
        found.append(compare(f"gpu_batch_{batch}", what, *ways, pairs, time.perf_counter))
    return found


def share(backend: str) -> Figure:
    """Of generation in a short run."""
    with tempfile.TemporaryDirectory() as root:
        command = [
            sys.executable,
            "-m",
            "superalign.commands.main",
            "train",
            "recipe=selfplay",
            "cluster=inline",
            "rounds=2",
        ]
        more = [f"generator={backend}", f"run.root={root}", "run.name=share"]
        subprocess.run([*command, *more], check=True, capture_output=True, cwd=ROOT)
        part = generation_share(str(Path(root) / "share"))
    return exact("gpu_generation_share", f"share of a round's time that is generation, testbed, {backend}", part)


def figures(quick: bool, model: str = "testbed", pairs: str | None = None) -> list[Figure]:
    """What the GPU does, or nothing."""
    if not gpu():
        print("no GPU: hf, vLLM, MFU and generation share are not measured")
        return []
    repeats = int(pairs or (2 if quick else 8))
    batch, length = TRAINED
    found = []
    for dtype in ("float32", "bfloat16"):
        used = [mfu(model, batch, length, "cuda", dtype) for _ in range(repeats)]
        what = f"MFU of supervised training of an adapter, {model} in {dtype}, batch {batch} x {length}"
        found.append(of_values(f"gpu_mfu_{dtype}", what, used))
    hf = HFGenerator({ROLE: model}, LORA, GeneratorConfig(dtype="bfloat16"), 1)
    found += rates_of(hf, model, repeats)
    if find_spec("vllm") is None:
        print("vLLM is not installed: it is not compared with hf")
        return [*found, share("hf")]
    return [*found, *engines(hf, model, repeats), share("vllm")]


if __name__ == "__main__":
    print(*figures(False, *sys.argv[1:]), sep="\n")
