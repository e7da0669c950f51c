"""How far a run goes, and where a round's seconds went."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

STAGES: Final = (
    "attack",
    "respond",
    "critique",
    "experts",
    "train_critic",
    "train_learner",
    "train_attacker",
    "sync",
    "evaluate",
)
OTHER: Final = "other"
TOTAL: Final = "total"

HEADLINE: Final = {
    "attack_success_rate": "attack success",
    "attack_success_rate_heldout_families": "held-out families",
    "helpfulness": "helpful",
    "over_refusal_rate": "over-refusal",
    "critic_accuracy_own": "critic on own answers",
    "critic_accuracy": "critic",
    "pgr": "performance gap recovered",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """How far a run goes and what its driver spends time on.

    Attributes:
        last_round: the round after which the run is complete.
        stages: the stages that time is counted for.
        unit: what a round is called when its progress is told.
        first: what the first one is counted as: round 0 of self-play comes before any training.
    """

    last_round: int
    stages: tuple[str, ...] = STAGES
    unit: str = "round"
    first: int = 0


class StageClock:
    """Seconds by stage since the last `take`; a stage inside a stage pauses the outer one, so nothing counts twice.

    Seconds outside every stage are `other`. One thread only: the driver's.
    """

    def __init__(self, stages: Sequence[str] = STAGES) -> None:
        self.stages = tuple(stages)
        self._began = self._mark = time.perf_counter()
        self._spent = dict.fromkeys(self.stages, 0.0)
        self._stack: list[str] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the block's seconds for the stage.

        Raises:
            ValueError: no such stage.
        """
        if name not in self.stages:
            raise ValueError(f"no stage {name!r}; the stages are {', '.join(self.stages)}")
        self._credit()
        self._stack.append(name)
        try:
            yield
        finally:
            self._credit()
            self._stack.pop()

    def _credit(self) -> None:
        now = time.perf_counter()
        if self._stack:
            self._spent[self._stack[-1]] += now - self._mark
        self._mark = now

    def take(self) -> dict[str, float]:
        """Seconds by stage with `other` and `total`, and begin anew."""
        self._credit()
        spent, total = self._spent, self._mark - self._began
        self._spent, self._began = dict.fromkeys(self.stages, 0.0), self._mark
        return {**spent, OTHER: max(0.0, total - sum(spent.values())), TOTAL: total}


def headline(row: Mapping[str, Any], whole: bool = True) -> str:
    """A round's main figures in one line, `whole` each with its interval."""
    parts = [
        f"{label} {100 * e['value']:.0f} %" + (f" [{100 * e['low']:.0f}, {100 * e['high']:.0f}]" if whole else "")
        for name, label in HEADLINE.items()
        if (e := row.get("metrics", {}).get(name)) and None not in (e["value"], e["low"], e["high"])
    ]
    return " · ".join([*parts, f"{row['timing'][TOTAL]:.0f} s"])
