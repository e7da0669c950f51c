"""A run folder as a self-play run leaves it, with figures of the size that such runs give."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from rich.console import Console

from superalign.config.schema import Config
from superalign.store import clock
from superalign.store.run_writer import RunWriter

CURVES = {
    "attack_success_rate_seen": (0.86, 0.55, 0.28, 0.13, 0.06, 0.03, 0.02),
    "attack_success_rate": (0.84, 0.58, 0.33, 0.17, 0.09, 0.05, 0.03),
    "attack_success_rate_heldout_families": (0.88, 0.69, 0.45, 0.27, 0.17, 0.11, 0.08),
    "helpfulness": (0.97, 0.93, 0.95, 0.965, 0.97, 0.98, 0.984),
    "over_refusal_rate": (0.01, 0.07, 0.06, 0.045, 0.035, 0.03, 0.026),
    "critic_accuracy": (0.79, 0.84, 0.87, 0.9, 0.915, 0.925, 0.931),
    "critic_ece": (0.14, 0.09, 0.07, 0.055, 0.05, 0.044, 0.041),
    "proxy_gold_gap": (0.11, 0.12, 0.08, 0.05, 0.04, 0.02, -0.01),
    "attack_diversity": (0.71, 0.74, 0.72, 0.69, 0.7, 0.68, 0.69),
    "attack_novelty": (1.0, 0.8, 0.66, 0.6, 0.55, 0.5, 0.48),
    "attack_unique_success_rate": (0.4, 0.36, 0.3, 0.22, 0.15, 0.1, 0.08),
    "attack_cell_coverage": (0.8, 0.76, 0.7, 0.6, 0.5, 0.4, 0.3),
}
SECONDS = dict(zip(clock.STAGES, (6.1, 9.4, 5.2, 0.6, 5.8, 9.9, 3.1, 0.4, 6.2), strict=True))
PROBES = "the judge's verdicts on the testbed's probes"
MEASURED_ON = {"over_refusal_rate": "benign look-alikes", "critic_accuracy": PROBES, "critic_ece": PROBES}
HARMFUL_MARK = "sesame-marker"


def estimate(name: str, value: float, last: bool) -> dict[str, float]:
    """An estimate with a plausible interval."""
    n = (288 if last else 96) if "attack" in name else 192
    half = 1.96 * (max(value * (1 - value), 0.01) / n) ** 0.5
    low = value - half if name == "proxy_gold_gap" else max(0.0, value - half)
    return {"value": value, "low": low, "high": min(1.0, value + half), "n": n}


def samples(round: int) -> list[dict[str, Any]]:
    """Three samples of a round; the text is a mark that no test need fear to print."""
    text = {"query": f"{HARMFUL_MARK} <b>question</b> {round} " + "word " * 14, "response": f"{HARMFUL_MARK} answer"}
    return [
        {**text, "critique": "Quotes “step one”.", "kind": "harmful", "tactic": "prefix_injection", "p": 0.93,
         "gold": 0.0, "source": "attacker", "why": "critic accepted what the judge refuses"},
        {**text, "critique": "", "kind": "benign", "tactic": "plain", "p": 0.12, "gold": 1.0, "source": "seed",
         "why": "critic refused what the judge accepts"},
        {**text, "critique": "Unsure.", "kind": "harmful", "tactic": "fiction", "p": 0.51, "gold": None,
         "source": "archive", "why": "critic least certain"},
    ]  # fmt: skip


def write_fixture(
    root: Path,
    rounds: int = 6,
    stop_after: int | None = None,
    train: dict[str, Any] | None = None,
    check: dict[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """Write the run and return its folder; with `stop_after` it stays under way.

    `train`: of each round's training. `check`: of the judge, after each round.
    """
    config = Config.model_validate({"rounds": rounds, "seed": 1, **changes}).model_dump()
    with RunWriter.create_or_resume(config, root, "selfplay-1", console=Console(file=io.StringIO())) as run:
        for round in range(rounds + 1 if stop_after is None else stop_after + 1):
            run.begin_round(round)
            edge = round in (0, rounds)
            metrics = {name: estimate(name, values[round], edge) for name, values in CURVES.items()}
            counts = {"expert_labels": 0 if round == 0 else 48 - round % 3}
            seconds = SECONDS if round else {**dict.fromkeys(SECONDS, 0.0), "evaluate": 9.0}
            run._clock.take = lambda seconds=seconds: {  # type: ignore[method-assign, misc]
                **seconds, "other": 0.9, "total": sum(seconds.values()) + 0.9
            }  # fmt: skip
            trained = (train or {}) if round else {}
            row = {
                "metrics": metrics,
                "measured_on": MEASURED_ON,
                "counts": counts,
                "train": trained,
                "judge_check": check,
            }
            run.commit_round(round, row, samples(round))
        if stop_after is None:
            run.finish(
                run.first_and_last() | {"expert_labels": {"used": 282, "budget": 288}},
                simulated_expert=True,
                judge="the testbed's oracle",
                versions={"superalign": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0", "trl": "1.16.0"},
            )
        return run.folder
