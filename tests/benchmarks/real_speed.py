"""How fast a real model answers, judges and is trained, against others' code and against this machine's arithmetic.

    OMP_NUM_THREADS=1 python tests/benchmarks/real_speed.py --model FOLDER --prompts FILE --threads 1

Every comparison is paired: all ways do the same work in turns, in alternating order, once unmeasured and then REPEATS
times. Printed are medians, ratios (geometric means with Student's 95 % interval), and a line of JSON with all of it.

- Answers: 32 requests of mixed lengths, 48 new tokens at most, greedy: our hf engine, `transformers.generate` on one
  padded batch, and vLLM where it is installed.
- Judging: the next token's log-probabilities after 200 answers under a policy of 250 tokens, which is read once or with
  every answer.
- Training: one phase of DPO on pairs of the model's own answers, by our service and by a bare `trl.DPOTrainer` with the
  same rows, adapter, order and optimizer; with the largest difference between their losses.
- The limit: how many GFLOP/s products of this model's shapes reach here, and how long the answers' arithmetic takes at
  that rate.

A second is one of processor time where one thread computes, so that other processes do not count; else the clock's. On
a CUDA GPU everything is in bfloat16; without one it says so. Targets: answers 1.3 times as fast as `generate`, judging
2 times as fast as without the shared opening, training at most 1.1 times as long as bare TRL.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import torch
import yaml
from dpo_phases import LORA, PHASE, ROLE, BareTRL, Ours
from measure import ROOT, Figure, Machine, exact, of_ratios

from superalign.config.sections import GeneratorConfig
from superalign.generation.base import GenerationRequest, Generator
from superalign.generation.decoding import left_pad
from superalign.generation.hf import HFGenerator
from superalign.models import Chat, device, load_base, load_chat, openings

NEW, LONGEST, POLICY_TOKENS = 48, 400, 250
REQUESTS = ROOT / "superalign" / "data" / "demo" / "requests.jsonl"
POLICY = ROOT / "conf" / "policy" / "safety.yaml"
COLUMNS = ("text", "prompt", "adversarial", "instruction", "query")
VERDICTS = ("yes", "no")
Ids = tuple[int, ...]
Way = Callable[[], float]


def read_requests(files: Sequence[Path], chat: Chat, count: int) -> list[Ids]:
    """Requests of files of JSON lines, as many of each, drawn with seed 0; none is longer than `LONGEST` tokens."""
    found: list[Ids] = []
    for file in files:
        rows = pd.read_json(file, lines=True)
        column = next((name for name in COLUMNS if name in rows), None)
        if column is None:
            sys.exit(f"{file} has none of the columns {', '.join(COLUMNS)}")
        share, mine = -(-count // len(files)), list[Ids]()
        for text in rows[column].sample(frac=1.0, random_state=0).astype(str):
            ids = tuple(chat.prompt_ids([{"role": "user", "content": text}]))
            if len(ids) <= LONGEST and len(mine) < share:
                mine.append(ids)
        found += mine
    return found[:count]


def seconds() -> float:
    """What a second is; see above."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def in_turns(ways: dict[str, Way], repeats: int) -> dict[str, list[tuple[float, float]]]:
    """Of each way its (seconds, what it returned) in each repeat, without the first."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name in list(ways)[:: 1 if repeat % 2 else -1]:
            began = seconds()
            made = ways[name]()
            found[name].append((seconds() - began, made))
    return {name: rows[1:] for name, rows in found.items()}


def ratio(
    name: str, what: str, rows: dict[str, list[tuple[float, float]]], above: str, below: str, **more: Any
) -> Figure:
    """The ratio of two ways' seconds for a unit of what they return."""
    costs = [np.array([took / max(made, 1) for took, made in rows[way]]) for way in (above, below)]
    return of_ratios(name, what, (costs[0] / costs[1]).tolist(), **more)


def median(name: str, what: str, values: Sequence[float], unit: str) -> Figure:
    """The median with the smallest and largest value."""
    return Figure(name, what, float(np.median(values)), min(values), max(values), len(values), unit=unit)


class Speed:
    """The model, its requests and what is measured of it."""

    def __init__(self, model: str, files: Sequence[Path], threads: int, repeats: int, quick: bool) -> None:
        self.model, self.threads, self.repeats = model, threads, repeats
        self.dtype = "bfloat16" if torch.cuda.is_available() else "float32"
        self.chat = load_chat(model)
        self.engine = HFGenerator({ROLE: model}, LORA, GeneratorConfig(dtype=self.dtype), threads)
        self.prompts = read_requests(files, self.chat, 8 if quick else 32)
        self.judged, self.pairs = (24, 4) if quick else (200, 16)
        first, other = (self._answers(heat) for heat in (0.0, 1.0))
        self.answers, self.others = first, other

    def _answers(self, temperature: float) -> list[Ids]:
        asked = [GenerationRequest(ROLE, prompt, NEW, temperature) for prompt in self.prompts]
        return [one.token_ids or self.prompts[0][-1:] for one in self.engine.generate(asked, 0)]

    def answering(self) -> list[Figure]:
        """Tokens per second of the engines, and the arithmetic limit."""
        plain, stops = load_base(self.model, self.dtype).to(device()), sorted(self.chat.stop_ids)

        def by(engine: Generator) -> float:
            done = engine.generate([GenerationRequest(ROLE, prompt, NEW, 0.0) for prompt in self.prompts], 0)
            return sum(len(one.token_ids) + one.finished for one in done)

        def by_transformers() -> float:
            ids, mask = left_pad(self.prompts, plain.device)
            said = {"max_new_tokens": NEW, "do_sample": False, "eos_token_id": stops, "pad_token_id": 0}
            made = plain.generate(input_ids=ids, attention_mask=mask, **said)[:, ids.shape[1] :]
            stopped = torch.isin(made, torch.tensor(stops, device=made.device))
            return int((stopped.cumsum(1) - stopped.long() == 0).sum())

        ways: dict[str, Way] = {"hf": lambda: by(self.engine), "generate": by_transformers}
        if find_spec("vllm"):
            from superalign.generation.vllm import VLLMGenerator

            config = GeneratorConfig(backend="vllm", dtype=self.dtype)
            vllm = VLLMGenerator({ROLE: self.model}, LORA, config, self.threads)
            ways["vllm"] = lambda: by(vllm)
        rows = in_turns(ways, self.repeats)
        lengths = sorted(map(len, self.prompts))
        what = f"{len(lengths)} requests of {lengths[0]} to {lengths[-1]} tokens, {NEW} new"
        found = [
            median(f"answers_{name}", f"{name}, {what}", [made / took for took, made in rows[name]], "tokens/s")
            for name in ways
        ]
        found.append(ratio("answers", "generate's time over hf's", rows, "generate", "hf", least=1.3))
        if "vllm" in ways:
            found.append(ratio("answers_over_vllm", "vLLM's time over hf's", rows, "vllm", "hf"))
        return found + self._limit(plain, rows["hf"])

    def _limit(self, model: Any, rows: Sequence[tuple[float, float]]) -> list[Figure]:
        """How fast products of the model's shapes are, and the answers at that rate; 2 FLOP a weight and token."""
        head = model.get_output_embeddings()
        layers = [m.weight for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head]
        body, whole = (2e-9 * sum(w.numel() for w in weights) for weights in (layers, [*layers, head.weight]))
        read, made = sum(map(len, self.prompts)), rows[0][1]
        work = read * body + made * whole  # GFLOP; attention, a few percent of it, aside
        rates = {}
        for count in (512, len(self.prompts)):
            given = [torch.randn(count, w.shape[1], dtype=w.dtype, device=w.device) for w in layers]
            with torch.inference_mode():
                best = min(self._products(layers, given) for _ in range(5))
            rates[count] = count * body / best
        fastest = max(rates.values())
        median_s = float(np.median([took for took, _ in rows]))
        return [
            *(exact(f"products_{n}", f"products of {n} rows", rate, unit="GFLOP/s") for n, rate in rates.items()),
            exact("flop", "arithmetic of a new token", whole, unit="GFLOP"),
            exact("limit", "new tokens/s if all arithmetic ran so fast", made * fastest / work, unit="tokens/s"),
            exact("of_limit", "share of that which hf reaches", work / fastest / median_s),
        ]

    def _products(self, layers: Sequence[torch.Tensor], given: Sequence[torch.Tensor]) -> float:
        began = seconds()
        for weight, rows in zip(layers, given, strict=True):
            torch.nn.functional.linear(rows, weight)
        return seconds() - began

    def judging(self) -> list[Figure]:
        """With the policy read once, and with every answer."""
        guideline = yaml.safe_load(POLICY.read_text(encoding="utf-8"))["guideline"]
        policy = (self.chat.encode(guideline) * 10)[:POLICY_TOKENS]
        cases = [i % len(self.answers) for i in range(self.judged)]
        asked = [(*policy, *self.prompts[i], *self.answers[i], n + 5) for n, i in enumerate(cases)]
        words = [self.chat.encode(word)[0] for word in VERDICTS]

        def judge() -> float:
            self.engine.choice_logits(ROLE, asked, words)
            return len(asked)

        def without() -> float:
            with mock.patch.object(openings, "SHORTEST", 2**30):
                return judge()

        rows = in_turns({"shared": judge, "anew": without}, self.repeats)
        what = f"{len(asked)} answers under a policy of {POLICY_TOKENS} tokens"
        seen = {"shared": "the policy read once", "anew": "the policy read with every answer"}
        return [
            *(median(f"judging_{n}", f"{what}: {seen[n]}", [t for t, _ in rows[n]], "s") for n in rows),
            ratio("judging", "time without over time with the shared opening", rows, "anew", "shared", least=2.0),
        ]

    def training(self) -> list[Figure]:
        """One phase of DPO, ours and TRL's."""
        pairs = [
            {"prompt_ids": list(p), "chosen_ids": list(a), "rejected_ids": list(b), "q": 1.0, "w": 1.0}
            for p, a, b in zip(self.prompts, self.answers, self.others, strict=True)
        ][: self.pairs]
        ways = {"ours": Ours(self.model, self.threads, self.dtype), "trl": BareTRL(self.model, self.dtype)}
        losses: dict[str, list[float]] = {}

        def phase(name: str) -> float:
            losses[name] = ways[name].phase(pairs)
            return 1.0

        rows = in_turns({name: partial(phase, name) for name in ways}, self.repeats)
        apart = max(abs(a - b) for a, b in zip(losses["ours"], losses["trl"], strict=True))
        what = f"a phase of DPO on {len(pairs)} pairs, batches of {PHASE.batch_size}"
        return [
            *(median(f"dpo_{name}", f"{what}: {name}", [t for t, _ in rows[name]], "s") for name in rows),
            ratio("dpo", "our time over bare TRL's", rows, "ours", "trl", most=1.1),
            exact("dpo_loss", f"largest difference between the losses of {len(losses['trl'])} steps", apart),
        ]


PARTS: dict[str, Callable[[Speed], list[Figure]]] = {
    "answering": Speed.answering,
    "judging": Speed.judging,
    "training": Speed.training,
}


def main() -> int:
    """Measure and print; 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a model reference: a folder, hub:OWNER/NAME, ...")
    parser.add_argument("--prompts", nargs="+", type=Path, default=[REQUESTS], metavar="FILE", help="JSON lines")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="8 requests, 24 answers judged, 4 pairs")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    machine = Machine.here()
    print(f"{machine.kind}; {given.threads} threads; float32" if not machine.gpu else f"{machine.kind}; bfloat16")
    speed = Speed(given.model, given.prompts, given.threads, given.repeats, given.quick)
    found: list[Figure] = []
    for part in given.parts:
        figures = PARTS[part](speed)
        print(*figures, sep="\n", flush=True)
        found += figures
    print(json.dumps({"machine": asdict(machine), "model": given.model, "figures": [asdict(f) for f in found]}))
    return int(any(figure.met is False for figure in found))


if __name__ == "__main__":
    sys.exit(main())
