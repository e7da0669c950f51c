"""What experts are asked, what they hold, what they answered, and how their answers can fail."""

from __future__ import annotations

from dataclasses import dataclass

from superalign.records import DimensionValue, JudgementKind, Record, content_id


class LeaseLost(Exception):
    """The lease is unknown or given back, or it ran out and the item or the budget went to somebody else."""


class AnswerGone(LeaseLost):
    """The lease was answered, and that answer was taken back or replaced since."""


class LabelRefused(ValueError):
    """An answer given without a lease cannot be taken; `index` is its position among those given."""

    def __init__(self, index: int, message: str) -> None:
        """Remember which answer it was."""
        super().__init__(message)
        self.index = index


@dataclass(frozen=True, slots=True)
class Item(Record):
    """What an expert is asked: is the response acceptable (point; `second` is ""), or which is better (pair).

    `id` is that of the judgement, so that a repeated round pushes the same items. `votes` annotators must answer, a
    `double` one more. `harmful` marks a request of harmful intent, which surfaces redact. On `blind` items critique
    and verdict stay folded away until the expert has answered alone. `gold` is the known answer about (first, second)
    of a gold item, which no training reads. `p` is the critic's probability when the item was escalated.
    """

    id: str
    round: int
    kind: JudgementKind
    query_id: str
    first_id: str
    second_id: str
    query: str
    first: str
    second: str
    critique: str
    category: str
    pi: float
    lane: str
    double: bool
    harmful: bool
    votes: int = 1
    blind: bool = False
    gold: float | None = None
    p: float = 0.5

    @property
    def need(self) -> int:
        """How many answers the item needs, each from another annotator."""
        return self.votes + self.double

    @property
    def swapped(self) -> bool:
        """Whether the second response is shown as A: for half of the pairs, fixed by the item's id."""
        return self.kind == "pair" and int(content_id("shown order", self.id), 16) % 2 == 1

    @property
    def shown(self) -> tuple[str, str]:
        """The responses (A, B) in the order in which every expert sees them."""
        return (self.second, self.first) if self.swapped else (self.first, self.second)

    @property
    def about(self) -> int:
        """Which of the shown responses the critique is of, 1 or 2: it is of the first; 0 where there is but one."""
        return 0 if self.kind == "point" else 1 + self.swapped

    def as_shown(self, value: float) -> float:
        """A value about (first, second) as one about (A, B), and the other way round."""
        return 1.0 - value if self.swapped else value


@dataclass(frozen=True, slots=True)
class LeasedItem:
    """An item held for one annotator from `claimed_at` until `expires_at` (seconds of the queue's clock).

    `alone` is what the annotator answered before the critique was seen (about what was SHOWN), None before that;
    `dimensions` are the answers that it was composed of, if it was.
    """

    token: str
    item: Item
    annotator: str
    claimed_at: float
    expires_at: float
    alone: float | None = None
    dimensions: tuple[DimensionValue, ...] = ()


@dataclass(frozen=True, slots=True)
class ExpertAnswer:
    """A standing label as statistics read it, gold and doubles included; values are about (first, second).

    `alone` is the answer before the critique was seen (blind items), `critique` the expert's edited critique, `seconds`
    the time spent on the item; each None where it was not given. `dimensions` are those of the label.
    """

    id: str
    item: Item
    annotator: str
    value: float
    simulated: bool
    created_at: float
    alone: float | None = None
    critique: str | None = None
    seconds: float | None = None
    dimensions: tuple[DimensionValue, ...] = ()

    @property
    def item_id(self) -> str:
        """The item that was answered."""
        return self.item.id


@dataclass(frozen=True, slots=True)
class Flag:
    """An item that an annotator gave back with a reason, for an adjudicator to look at."""

    item_id: str
    annotator: str
    reason: str
    created_at: float
