"""What experts are asked, what they hold, and how their answers can fail."""

from __future__ import annotations

from dataclasses import dataclass

from superalign.records import JudgementKind, Record, content_id


class LeaseLost(Exception):
    """The lease is unknown or given back, or it ran out and the item or the budget went to somebody else."""


class LabelRefused(ValueError):
    """An answer given without a lease cannot be taken; `index` is its position among those given."""

    def __init__(self, index: int, message: str) -> None:
        """Remember which answer it was."""
        super().__init__(message)
        self.index = index


@dataclass(frozen=True, slots=True)
class Item(Record):
    """What an expert is asked: is the response acceptable (point; `second` is ""), or which is better (pair).

    `id` is that of the judgement, so that a repeated round pushes the same items. `double` items need two
    annotators. `harmful` marks a request of harmful intent, which surfaces redact.
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

    @property
    def swapped(self) -> bool:
        """Whether the second response is shown as A: for half of the pairs, fixed by the item's id."""
        return self.kind == "pair" and int(content_id("shown order", self.id), 16) % 2 == 1

    @property
    def shown(self) -> tuple[str, str]:
        """The responses (A, B) in the order in which every expert sees them."""
        return (self.second, self.first) if self.swapped else (self.first, self.second)

    def as_shown(self, value: float) -> float:
        """A value about (first, second) as one about (A, B), and the other way round."""
        return 1.0 - value if self.swapped else value


@dataclass(frozen=True, slots=True)
class LeasedItem:
    """An item held for one annotator until `expires_at` (seconds of the queue's clock)."""

    token: str
    item: Item
    annotator: str
    expires_at: float
