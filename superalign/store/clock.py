"""Where a round's seconds went, and telling the person who waits."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

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
    "critic_accuracy": "critic",
    "pgr": "performance gap recovered",
}
log = logging.getLogger("superalign.run")


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


def headline(row: Mapping[str, Any]) -> str:
    """A round's main figures in one line, each with its interval."""
    parts = [
        f"{label} {100 * e['value']:.0f} % [{100 * e['low']:.0f}, {100 * e['high']:.0f}]"
        for name, label in HEADLINE.items()
        if (e := row.get("metrics", {}).get(name)) and None not in (e["value"], e["low"], e["high"])
    ]
    return " · ".join([*parts, f"{row['timing'][TOTAL]:.0f} s"])


class RunProgress:
    """A live bar on a terminal, plain log lines anywhere else; the log file always gets the lines."""

    def __init__(
        self, name: str, rounds: int, console: Console | None = None, unit: str = "round", first: int = 0
    ) -> None:
        self.console = console or Console(stderr=True)
        self._rounds, self._unit, self._first = rounds + first, unit, first
        self._live: Progress | None = None
        self._task: TaskID | None = None
        self._label = name
        if self.console.is_terminal:
            self._live = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TextColumn(f"{{task.completed:.0f}}/{{task.total:.0f}} {unit}s"),
                TimeElapsedColumn(),
                console=self.console,
                transient=True,
            )
            self._task = self._live.add_task(name, total=self._rounds)
            self._live.start()

    def say(self, line: str) -> None:
        """Tell the person and the log one line."""
        log.info(line)
        if self._live:
            self._live.console.print(line, markup=False, highlight=False)
        else:  # a line stays one line: who reads it may search it
            stamped = f"{time.strftime('%H:%M:%S')} {line}"
            self.console.print(stamped, markup=False, highlight=False, soft_wrap=True)

    def stage(self, round: int, name: str) -> None:
        """A stage began."""
        log.info("%s %d: %s", self._unit, round + self._first, name)
        if self._live is not None and self._task is not None:
            self._live.update(self._task, description=f"{self._label} · {self._unit} {round + self._first} · {name}")

    def committed(self, row: Mapping[str, Any]) -> None:
        """A round is safe on disk."""
        self.say(f"{self._unit} {row['round'] + self._first}/{self._rounds}  {headline(row)}")
        if self._live is not None and self._task is not None:
            self._live.update(self._task, completed=row["round"] + self._first)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._live is not None:
            self._live.stop()
            self._live = None
