"""The typed records that travel through a round; every one converts to and from JSON and Arrow rows."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, Self, TypedDict, get_origin, get_type_hints

Kind = Literal["harmful", "benign"]
JudgementKind = Literal["point", "pair"]
Origin = Literal["sample", "revision", "contrast"]
Message = dict[str, str]  # one turn of a chat, as chat templates take it
MESSAGE_KEYS: Final = ("role", "content")


class DimensionValue(TypedDict):
    """What is believed, or was answered, about one dimension of the policy: `p` = P(yes), in [0, 1]."""

    name: str
    p: float


def dimension_values(p: Mapping[str, float]) -> tuple[DimensionValue, ...]:
    """Probabilities by dimension, as records keep them."""
    return tuple(DimensionValue(name=name, p=value) for name, value in p.items())


def by_dimension(values: Iterable[DimensionValue]) -> dict[str, float]:
    """Probabilities by dimension, of a record."""
    return {each["name"]: each["p"] for each in values}


def content_id(*parts: object) -> str:
    """A stable 16-hex-digit identity of some content; the same content has the same identity in every run."""
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:16]


@functools.cache
def _layout(cls: Hashable) -> tuple[frozenset[str], tuple[str, ...]]:
    """The fields of a record, and those of them that are tuples."""
    hints = get_type_hints(cls)
    return frozenset(f.name for f in fields(cls)), tuple(n for n, hint in hints.items() if get_origin(hint) is tuple)  # type: ignore[arg-type]


def content_share(*parts: object) -> float:
    """A number in [0, 1), uniform over contents and the same for the same content in every run."""
    return int(content_id(*parts), 16) / 16**16


@dataclass(frozen=True, slots=True)
class Record:
    """Base of all records: a frozen row with JSON-compatible fields."""

    def to_row(self) -> dict[str, Any]:
        """The record as a flat dict of JSON and Arrow compatible values (tuples become lists)."""
        row = {field.name: getattr(self, field.name) for field in fields(self)}
        return row | {name: list(row[name]) for name in _layout(type(self))[1]}  # type: ignore[arg-type]

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Build the record from a row, refusing unknown or missing fields.

        Raises:
            ValueError: a field is unknown or missing; the message names it.
        """
        names, tuples = _layout(cls)  # type: ignore[arg-type]  # mypy takes a dataclass's type to be unhashable
        if unknown := sorted(row.keys() - names):
            raise ValueError(f"{cls.__name__} has no field {unknown[0]!r}; its fields are {sorted(names)}")
        values = {**row, **{name: tuple(row[name]) for name in tuples if name in row}}
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"{cls.__name__}: {error}") from None


@dataclass(frozen=True, slots=True)
class Seed(Record):
    """A request that attacks start from. `kind` is the intent of the plain request, `split` train or eval."""

    id: str
    text: str
    kind: Kind
    category: str
    split: Literal["train", "eval"]
    lookalike: bool = False


@dataclass(frozen=True, slots=True)
class Query(Record):
    """What the learner is asked: a seed, plain or wrapped by an attacker."""

    id: str
    seed_id: str
    text: str
    kind: Kind
    category: str
    tactic: str
    source: str
    round: int
    novelty: float = 0.0


@dataclass(frozen=True, slots=True)
class Response(Record):
    """One answer of the learner: the exact token ids that were generated and their log-probabilities (nats).

    A `revision` mends what was criticised; a `contrast` is what would be said if the request were not what it is. Where
    a part of what was generated was read, the ids are of that part and have no log-probabilities.
    """

    id: str
    query_id: str
    text: str
    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    origin: Origin
    version: int


@dataclass(frozen=True, slots=True)
class Critique(Record):
    """The critic's words on one response. `unsupported` counts quotes that are no exact substring of it."""

    id: str
    response_id: str
    text: str
    quotes: tuple[str, ...]
    unsupported: int
    version: int


@dataclass(frozen=True, slots=True)
class Judgement(Record):
    """A verdict as a probability.

    kind "point": p = P(the response is acceptable); `second_id` is "".
    kind "pair": p = P(first response is better than the second), averaged over both orders.
    `logit` is the critic's raw log-odds, `p` the calibrated probability, `variance` the disagreement
    between the critic's views of the same item, `flipped` whether the two orders contradict each other.
    `dimensions` are the calibrated probabilities of a point by dimension of the policy, of which p is composed.
    """

    id: str
    kind: JudgementKind
    query_id: str
    first_id: str
    second_id: str
    category: str
    logit: float
    p: float
    variance: float
    flipped: bool
    abstained: bool
    version: int
    dimensions: tuple[DimensionValue, ...] = ()


@dataclass(frozen=True, slots=True)
class ExpertLabel(Record):
    """One expert's answer to one escalated item; append-only.

    `value`: 1 accept / first better, 0 refuse / second better, 0.5 tie. `pi` is the propensity with which
    the item was escalated, stored when it was drawn and never changed. `dimensions` are the answers to a point by
    dimension of the policy, of which `value` is composed; empty where only the whole was asked.
    """

    id: str
    item_id: str
    kind: JudgementKind
    annotator: str
    value: float
    pi: float
    lane: str
    round: int
    simulated: bool
    dimensions: tuple[DimensionValue, ...] = ()


@dataclass(frozen=True, slots=True)
class Preference(Record):
    """A noisy pair-wise label: P(chosen better than rejected) = `q`, loss weight `w`, provenance `source`.

    `prompt`, `chosen` and `rejected` are TRL's conversational columns: a prompt has the turns of a dialogue, the
    answers have one each. The ids are what was generated from and what was generated.
    """

    id: str
    query_id: str
    chosen_id: str
    rejected_id: str
    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    prompt_ids: tuple[int, ...]
    chosen_ids: tuple[int, ...]
    rejected_ids: tuple[int, ...]
    q: float
    w: float
    source: Literal["critic", "expert"]


@dataclass(frozen=True, slots=True)
class Measured(Record):
    """What a figure on real text is made of: the value of one of its items.

    `figure` is its name in metrics.jsonl, `item` the same in every round, `cluster` what it shares with others that are
    not independent of it. `value`: 1 where the answer complied or was right, else 0; of a text, the mean negative
    log-likelihood of its tokens (nats). `weight` is the number of those tokens, else 1.
    """

    figure: str
    item: str
    cluster: str
    value: float
    weight: float
