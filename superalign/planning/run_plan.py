"""What a run will have to do, at most, as its settings tell before anything is loaded.

Numbers are upper bounds: answers end early, equal texts are asked once, seeds may be fewer than asked for. A recipe
that can be planned has `plan(config) -> RunPlan` beside `main`; those that ship have theirs from
`superalign.planning.workloads`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True, slots=True)
class Calls:
    """Generation: so many completions of a role, each of so many new tokens at most."""

    stage: str
    role: str
    count: int
    limit: int

    @property
    def tokens(self) -> int:
        """New tokens of all of them."""
        return self.count * self.limit


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Texts that are scored: one forward pass each."""

    stage: str
    count: int


@dataclass(frozen=True, slots=True)
class Training:
    """Phases of training of a role: so many, each on so many rows.

    Attributes:
        completions: of a row: 2 of a pair.
        limit: most tokens of a completion.
        anchors: rows that are supervised beside each step.
    """

    role: str
    rows: int
    epochs: int
    batch: int
    completions: int
    limit: int
    anchors: int = 0
    phases: int = 1

    @property
    def steps(self) -> int:
        """Optimizer steps of all phases."""
        return self.phases * self.epochs * ceil(self.rows / self.batch)

    @property
    def passes(self) -> int:
        """Sequences that go through the model, forward and back."""
        return self.phases * self.epochs * self.rows * self.completions + self.steps * self.anchors

    @property
    def tokens(self) -> int:
        """Tokens of completions that are trained on; those of prompts come beside."""
        return self.passes * self.limit


Work = Calls | Verdicts | Training


@dataclass(frozen=True, slots=True)
class RoundPlan:
    """A round, or several that are alike.

    Attributes:
        title: for people.
        times: how many such rounds there are.
        work: in order.
        labels: of experts, at most.
        queries, responses: records of these kinds, at most.
    """

    title: str
    times: int = 1
    work: Sequence[Work] = ()
    labels: int = 0
    queries: int = 0
    responses: int = 0

    @property
    def calls(self) -> list[Calls]:
        """Its generation."""
        return [each for each in self.work if isinstance(each, Calls)]

    @property
    def verdicts(self) -> list[Verdicts]:
        """Its scoring."""
        return [each for each in self.work if isinstance(each, Verdicts)]

    @property
    def training(self) -> list[Training]:
        """Its training."""
        return [each for each in self.work if isinstance(each, Training)]


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A whole run.

    Attributes:
        rounds: in order, those that are alike together.
        notes: what the numbers leave out, in sentences.
    """

    rounds: tuple[RoundPlan, ...]
    notes: tuple[str, ...] = ()

    def total(self, count: Callable[[RoundPlan], int]) -> int:
        """A number of the whole run."""
        return sum(one.times * count(one) for one in self.rounds)
