"""Public data cut into what trains and what measures, for the benchmarks on real models.

Which side a row is on is told by the hash of its plain request, so that a request and all attacks on it stay together.
Nothing is copied into the project: the files go into the benchmark's folder.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from superalign.records import content_share

Row = Mapping[str, Any]
SEEDS = {"harmful": 280, "adversarial_plain": 120, "instructions": 200, "lookalikes": 120}
"""Most requests of each kind among the seeds."""
HELD = 0.5  # share of the requests that are held out


def read(data: Path, name: str) -> list[dict[str, Any]]:
    """The rows of a file of the shared data."""
    return [json.loads(line) for line in (data / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def write(folder: Path, name: str, rows: Iterable[Row]) -> str:
    """A file of JSON lines; its path."""
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def split(rows: Sequence[Row], request: Callable[[Row], str]) -> tuple[list[Row], list[Row]]:
    """Rows to train on, and rows that are held out."""
    held = [content_share("benchmark", request(row).strip().lower()) < HELD for row in rows]
    both = list(zip(rows, held, strict=True))
    return [row for row, out in both if not out], [row for row, out in both if out]


def drawn(rows: Sequence[Row], count: int) -> list[Row]:
    """At most so many rows, always the same."""
    return random.Random("benchmark").sample(list(rows), min(count, len(rows)))


def prepare(data: Path, folder: Path) -> dict[str, str]:
    """Write all files; their paths by name.

    seeds: requests that are attacked; demonstrations: people's attacks; critic, judge: people's verdicts on answers,
    a half of the prompts each. held_*: requests that measure compliance. mmlu,
    sciq, texts: capability.
    """
    folder.mkdir(parents=True, exist_ok=True)
    harmful, held_harmful = split(read(data, "harmful_prompts"), lambda r: str(r["prompt"]))
    attacks, held_attacks = split(read(data, "attacks_wildjailbreak"), lambda r: str(r["plain"]))
    lookalikes, held_lookalikes = split(read(data, "overrefusal_orbench_hard"), lambda r: str(r["prompt"]))
    plain = [r for r in read(data, "instructions_permissive") if len(_asked(r)) < 600]
    instructions, held_instructions = split(plain, _asked)
    labels, judge = split(read(data, "judge_wildguardtest"), lambda r: str(r["prompt"]))
    adversarial, harmless = ([r for r in attacks if r["kind"] == kind] for kind in ("harmful", "benign"))
    seeds = [
        *(_seed(r["prompt"], "harmful", r["category"]) for r in drawn(harmful, SEEDS["harmful"])),
        *(_seed(r["plain"], "harmful", "general") for r in drawn(adversarial, SEEDS["adversarial_plain"])),
        *(_seed(_asked(r), "benign", "general") for r in drawn(instructions, SEEDS["instructions"])),
        *(_seed(r["prompt"], "benign", r["category"], True) for r in drawn(lookalikes, SEEDS["lookalikes"])),
        *(_seed(r["plain"], "benign", "general", True) for r in harmless),
    ]
    optimised = read(data, "attacks_harmbench_precomputed")
    return {
        "seeds": write(folder, "seeds", seeds),
        "demonstrations": write(folder, "demonstrations", attacks),
        "critic": write(folder, "critic", labels),
        "judge": write(folder, "judge", judge),
        "held_adversarial": write(folder, "held_adversarial", (_adversarial(r) for r in held_attacks)),
        "held_plain": write(folder, "held_plain", (_seed(r["prompt"], "harmful", "") for r in held_harmful)),
        "held_optimised": write(folder, "held_optimised", (_seed(r["test_case"], "harmful", "") for r in optimised)),
        "held_lookalikes": write(
            folder, "held_lookalikes", (_seed(r["prompt"], "benign", "", True) for r in held_lookalikes)
        ),
        "held_xstest": write(
            folder, "held_xstest", (_seed(r["prompt"], "benign", "", True) for r in _safe(read(data, "xstest_prompts")))
        ),
        "held_instructions": write(
            folder, "held_instructions", (_seed(_asked(r), "benign", "") for r in held_instructions)
        ),
        "mmlu": write(folder, "mmlu", read(data, "capability_mmlu")),
        "sciq": write(folder, "sciq", (r for r in read(data, "qa_sciq") if r["split"] == "test")),
        "texts": write(folder, "texts", held_instructions),
    }


def _asked(row: Row) -> str:
    return f"{row['instruction']}\n{row['input']}".strip()


def _seed(text: str, kind: str, category: str, lookalike: bool = False) -> Row:
    return {"text": text, "kind": kind, "category": category or "general", "lookalike": lookalike}


def _adversarial(row: Row) -> Row:
    return {"text": row["adversarial"], "kind": row["kind"], "category": "general"}


def _safe(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["label"] == "safe"]
