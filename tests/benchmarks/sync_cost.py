"""What bringing new weights to the generator costs: an adapter against all weights, in bytes, seconds and pause.

    python tests/benchmarks/sync_cost.py [REPEATS]

Both ways of `superalign/sync` end to end, on the shipped model and on a random one of 34 M parameters: tensors travel
to an actor as in a run, the adapter is written as a versioned folder and read back by the engine, or every weight is
replaced. The engine is a copy of the model instead of vLLM. Pause is the time the actor spent on it, while it answers
nothing. Ratios are geometric means over repeats with Student's 95 % interval. Bytes are exact; at realistic sizes (rank
16 on all linear layers, float32 adapter, bfloat16 weights) they follow from the shapes, by the functions of `plan.py`.
Target: about 1 %.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from generation import LORA, ROLE, adapter
from measure import Figure, exact, of_ratios
from plan import ADAPTER_BYTES, LLAMA_70B, QWEN_7B, WEIGHT_BYTES, Shape
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

from superalign.config.sections import ClusterConfig
from superalign.generation.base import Tensors
from superalign.generation.merging import MergingBase
from superalign.generation.sync.adapter import AdapterSync, room_for
from superalign.generation.sync.base import Adapter, WeightSync
from superalign.generation.sync.full import FullSync
from superalign.models import load_base
from superalign.runtime.cluster import Cluster
from superalign.runtime.connection import start

TARGET = 0.015  # about 1 %: what rounds to it
SAID = {"seconds": "seconds to the acknowledgement", "pause": "pause of the generator"}


class CopyEngine:
    """An `Engine` of weight sync that holds weights and adapters in memory, as vLLM does."""

    slots = room_for(1)

    def __init__(self, model: str) -> None:
        self.weights = {name: value.clone() for name, value in load_base(model).state_dict().items()}
        self.adapters: dict[int, dict[str, torch.Tensor]] = {}

    def add_lora(self, adapter: Adapter) -> bool:
        """Read the folder."""
        self.adapters[adapter.number] = load_file(Path(adapter.path) / "adapter_model.safetensors")
        return True

    def remove_lora(self, number: int) -> bool:
        """Forget."""
        return self.adapters.pop(number, None) is not None

    def reload(self, weights: Iterable[tuple[str, Any]]) -> None:
        """Copy every tensor."""
        for name, value in weights:
            self.weights[name].copy_(value)


class Served:
    """The part of a generator that takes weights, one way or the other."""

    def __init__(self, model: str, full: bool) -> None:
        torch.set_num_threads(1)
        base, self.engine = MergingBase(load_base(model), LORA.alpha / LORA.r), CopyEngine(model)
        self.sync: WeightSync = (
            FullSync(self.engine, [ROLE], base) if full else AdapterSync(self.engine, [ROLE], LORA, base.prepare)
        )

    def load_adapter(self, tensors: Tensors, version: int) -> int:
        """Serve this adapter."""
        return self.sync.push(ROLE, tensors, version)

    def load_weights(self, weights: dict[str, Any]) -> None:
        """Serve these weights, which have travelled whole."""
        self.engine.reload((name, torch.from_numpy(value)) for name, value in weights.items())


def random_model(folder: Path) -> str:
    """A Llama of 34 M parameters, saved."""
    config = LlamaConfig(
        vocab_size=8192, hidden_size=512, intermediate_size=1408, num_hidden_layers=8, num_attention_heads=8
    )
    logging.disable_progress_bar()
    LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


def pushes(cluster: Cluster, name: str, model: str, repeats: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds and pause of each push: an adapter, an adapter merged there, whole weights."""
    actors = {way: f"{way} {name}" for way in ("adapter", "merged", "weights")}
    served = {way: cluster.spawn(actor, Served, model, way != "adapter") for way, actor in actors.items()}
    cluster.ready()
    weights = {key: value.numpy() for key, value in load_base(model).state_dict().items()}
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in served}
    for version in range(repeats + 1):
        tensors = adapter(version, model)
        for way, one in served.items():
            before, began = cluster.busy_seconds(actors[way]) or 0.0, time.perf_counter()
            if way == "weights":
                one.load_weights(weights)
            else:
                one.load_adapter(tensors, version)
            took = time.perf_counter() - began
            found[way].append((took, (cluster.busy_seconds(actors[way]) or 0.0) - before))
    return {way: times[1:] for way, times in found.items()}  # the first warms up


def measured(cluster: Cluster, name: str, model: str, repeats: int) -> list[Figure]:
    """Bytes, seconds and pause of an adapter over those of whole weights."""
    found = pushes(cluster, name, model, repeats)
    sent = sum(value.nbytes for value in adapter(0, model).values())
    whole = sum(value.nbytes for value in load_base(model).state_dict().values())
    what = f"bytes of an adapter over all weights, {name} ({sent / 1e6:.2f} and {whole / 1e6:.1f} MB, both float32)"
    figures = [exact(f"sync_bytes_{name}", what, sent / whole)]
    for place, kind in enumerate(("seconds", "pause")):
        one, other = ([times[place] for times in found[way]] for way in ("adapter", "weights"))
        took = [1e3 * np.median([times[place] for times in found[way]]) for way in ("adapter", "weights", "merged")]
        said = f"{SAID[kind]} of an adapter over whole weights, {name} ({took[0]:.1f} and {took[1]:.1f} ms; "
        said += f"sent as an adapter and merged there {took[2]:.1f} ms)"
        pairs = [a / b for a, b in zip(one, other, strict=True)]
        figures.append(of_ratios(f"sync_{kind}_{name}", said, pairs, tolerance=0.3))
    return figures


def by_arithmetic(name: str, shape: Shape) -> Figure:
    """Bytes of an adapter over those of the weights."""
    sent, all_of_it = shape.adapter(LORA.r) * ADAPTER_BYTES, shape.parameters * WEIGHT_BYTES
    what = f"bytes of an adapter over all weights, {shape.name} ({sent / 1e6:.0f} MB and {all_of_it / 1e9:.1f} GB)"
    return exact(name, what, sent / all_of_it, most=TARGET)


def figures(quick: bool, repeats: int | None = None) -> list[Figure]:
    """Bytes, seconds and pause."""
    repeats = repeats or (5 if quick else 30)
    arithmetic = [by_arithmetic("sync_bytes_7b", QWEN_7B), by_arithmetic("sync_bytes_70b", LLAMA_70B)]
    with tempfile.TemporaryDirectory() as scratch, start(ClusterConfig(threads=1), Path(scratch)) as cluster:
        models = {"testbed": "testbed", "34m": random_model(Path(scratch) / "random")}
        found = [f for name, model in models.items() for f in measured(cluster, name, model, repeats)]
    return [*arithmetic, *found]


if __name__ == "__main__":
    print(*figures(False, *map(int, sys.argv[1:])), sep="\n")
