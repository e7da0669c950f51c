"""How well training uses the machine, and which share of a run is generation.

    python tests/benchmarks/utilisation.py [MODEL] [RUN]

Model FLOPs utilisation (MFU) of supervised training of an adapter: floating-point operations that the model needs (not
those that were done), a second, over what a large matrix product reaches here in the same number format. Of N weights
outside the embedding table (the output head counts) a token needs 2N forward and 2N backward to the activations; the
frozen weights get no gradient, and adapters and attention are left out. RUN is a run folder: the share of its rounds'
time spent on generating. Works on CPU and GPU, and says on which.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch

from superalign.config.sections import LoraConfig
from superalign.models import device, load_base, load_chat
from superalign.store.folder import RunFolder
from superalign.training.algorithms.sft import REFERENCE as SFT
from superalign.training.base import Phase
from superalign.training.service import TrainingService

SIDE = {"cpu": 2048, "cuda": 8192}
PRODUCTS, STEPS = 8, 8
GENERATING = ("attack", "respond", "critique", "evaluate")


def peak(device: str, dtype: str) -> float:
    """FLOP/s of square matrix products."""
    side = SIDE[device]
    a, b = (torch.randn(side, side, device=device, dtype=getattr(torch, dtype)) for _ in range(2))
    rates = []
    for _ in range(PRODUCTS):
        begin = time.perf_counter()
        c = a @ b
        float(c[0, 0])  # waits for the device
        rates.append(2 * side**3 / (time.perf_counter() - begin))
    return max(rates)


def weights(model: str) -> int:
    """Weights that every token meets: all but the embedding table, with the output head."""
    base = load_base(model)
    table = base.get_input_embeddings().weight
    tied = base.get_output_embeddings().weight is table
    return sum(p.numel() for p in base.parameters()) - (0 if tied else table.numel())


def mfu(model: str, batch: int, length: int, device: str, dtype: str = "float32") -> float:
    """Train on random tokens, the frozen weights in a number format; print the rate, return the utilisation."""
    rng, chat = np.random.default_rng(0), load_chat(model)
    length = min(length, chat.context)
    rows = [
        {"prompt_ids": ids[: length // 2], "completion_ids": ids[length // 2 :], "weight": 1.0}
        for ids in rng.integers(5, 200, (batch * STEPS, length)).tolist()
    ]
    service = TrainingService({"learner": model}, LoraConfig(), threads=torch.get_num_threads(), dtype=dtype)
    phase = Phase(learning_rate=1e-4, epochs=1, batch_size=batch)
    service.train("learner", SFT, rows[:batch], phase, seed=0)  # warm
    begin = time.perf_counter()
    service.train("learner", SFT, rows, phase, seed=0)
    rate = batch * STEPS * length / (time.perf_counter() - begin)
    needed = 4 * weights(model) * rate
    used = needed / peak(device, dtype)
    print(
        f"{model} in {dtype}, batch {batch} x {length} tokens: {rate:.0f} tokens/s, {needed / 1e9:.1f} GFLOP/s needed, "
        f"MFU {100 * used:.1f} % of a matrix product's"
    )
    return used


def generation_share(run: str) -> float:
    """The share of the rounds' time that went into generation, printed by stage."""
    rows = RunFolder.open(run).rows()[1:]
    spent = {name: sum(row["timing"].get(name, 0.0) for row in rows) for name in (*GENERATING, "total")}
    shares = {name: 100 * seconds / spent["total"] for name, seconds in spent.items()}
    print(f"{Path(run).name}: " + ", ".join(f"{name} {shares[name]:.0f} %" for name in GENERATING))
    whole = sum(shares[name] for name in GENERATING)
    print(f"generation in all {whole:.0f} % of {spent['total']:.0f} s")
    return whole / 100


def main(model: str, run: str | None) -> None:
    """Print both."""
    where = device()
    name = torch.cuda.get_device_name(0) if where == "cuda" else f"no GPU, {torch.get_num_threads()} CPU thread(s)"
    print(f"{name}, torch {torch.__version__}")
    for dtype in ("float32", "bfloat16") if where == "cuda" else ("float32",):
        for batch in (8, 32):
            mfu(model, batch, 128, where, dtype)
    if run:
        generation_share(run)


if __name__ == "__main__":
    given = sys.argv[1:]
    main(given[0] if given else "testbed", given[1] if len(given) > 1 else None)
