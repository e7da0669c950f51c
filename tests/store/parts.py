"""A small run that anybody can write, in this process or in another: `python parts.py ROOT NAME ROUNDS`."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from superalign.config.schema import Config
from superalign.records import Query, content_id
from superalign.store.run_writer import RunWriter
from superalign.store.tables import write_records


def config(rounds: int = 3, **changes: Any) -> dict[str, Any]:
    """A resolved configuration."""
    return Config.model_validate({"rounds": rounds, **changes}).model_dump()


def queries(round: int, count: int = 5) -> list[Query]:
    """Queries that depend on the round alone."""
    return [
        Query(content_id(round, i), f"seed-{i}", f"text {i}", "benign", "chemistry", "plain", "seed", round)
        for i in range(count)
    ]


def rate(value: float) -> dict[str, float]:
    """An estimate as metrics.jsonl holds it."""
    return {"value": value, "low": max(0.0, value - 0.1), "high": min(1.0, value + 0.1), "n": 40}


def opened(root: Path, name: str = "run", **changes: Any) -> RunWriter:
    """The run, created or resumed, telling its progress to nobody."""
    return RunWriter.create_or_resume(config(**changes), root, name, console=Console(file=io.StringIO()))


def write_round(run: RunWriter, round: int) -> None:
    """One round with a table, a figure and a sample."""
    folder = run.begin_round(round)
    with run.stage("attack"):
        write_records(folder, "queries", Query, queries(round))
    sample = {"query": f"q{round}", "response": "r", "critique": "c", "kind": "harmful", "why": "attack worked"}
    run.commit_round(round, {"metrics": {"helpfulness": rate(0.9)}, "counts": {"expert_labels": 4}}, [sample])


def write_rest(run: RunWriter) -> None:
    """Every round the run still lacks, and the summary."""
    last = run.last_round()
    for round in range(0 if last is None else last + 1, run.settings["rounds"] + 1):
        write_round(run, round)
    metrics = run.first_and_last() | {"expert_labels": {"used": 12, "budget": 144}}
    run.finish(metrics, simulated_expert=True, judge="the testbed's oracle", versions={})


if __name__ == "__main__":
    with opened(Path(sys.argv[1]), sys.argv[2], rounds=int(sys.argv[3])) as run:
        print("open", flush=True)
        sys.stdin.readline()
        write_rest(run)
