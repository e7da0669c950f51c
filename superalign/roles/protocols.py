"""What a critic, a judge and an attacker are to the loop: classes that a plug-in can replace.

Each is made as `Class(settings, services)`, where `settings` is its section of the settings (an instance of its
`Settings`, if it has one). No protocol speaks of tokens or adapters.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, Self, runtime_checkable

from superalign.config.schema import Config
from superalign.experts.items import Item
from superalign.generation.base import Generator
from superalign.models.states import GivesHiddenStates as GivesHiddenStates
from superalign.prompts.policy import ACCEPTABLE as ACCEPTABLE
from superalign.prompts.reading import Unread
from superalign.records import ExpertLabel, Query, Response, Seed
from superalign.stats.labelled_set import Probe
from superalign.training.base import Trainer

Case = tuple[Query, Response]
Outcome = Literal["full", "partial", "refusal", "garbled"]
SUCCESS: frozenset[Outcome] = frozenset({"full", "partial"})  # of an attack


class Point(NamedTuple):
    """One answer to be judged."""

    query: str
    response: str
    category: str = ""


class Pair(NamedTuple):
    """Two answers to be compared."""

    query: str
    first: str
    second: str
    category: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """What a critic believes of a point or a pair.

    Attributes:
        log_odds: by dimension of the policy, in nats; of a pair, those of the first answer being the better one.
        contradictory: of a pair, whether both orders got the same answer: such a verdict abstains.
    """

    log_odds: Mapping[str, float]
    contradictory: bool = False

    @classmethod
    def of(cls, probability: Mapping[str, float]) -> Self:
        """From probabilities by dimension, which are kept away from 0 and 1 by 1e-6."""
        clipped = {name: min(max(p, 1e-6), 1 - 1e-6) for name, p in probability.items()}
        return cls({name: math.log(p / (1 - p)) for name, p in clipped.items()})


@dataclass(frozen=True, slots=True)
class Services:
    """What a role may use.

    Attributes:
        config: all settings.
        generator: batched generation and scoring for every role.
        trainer: trains adapters; None for whoever never learns.
        role: whose adapter the generator is asked for: `critic`, `attacker`, or `judge`, which is never trained.
        states: who gives hidden states: the generator, or the trainer where that has none (vLLM).
    """

    config: Config
    generator: Generator
    trainer: Trainer | None = None
    role: str = "critic"
    states: GivesHiddenStates | None = None


@dataclass(frozen=True, slots=True)
class CriticBatch:
    """What a critic learns from in a round.

    Attributes:
        labelled: items with experts' labels, without those held back for calibration.
        known: ids of the items that it has learned from in earlier rounds.
        clean: (query, response) texts believed to be good, in which flaws can be planted.
        replay: (query, response) texts of this round, on which what was known before can be rehearsed.
        requests: (request, whether it is of harmful intent) of this round, by the kind of its seed.
    """

    labelled: Sequence[tuple[Item, ExpertLabel]]
    known: frozenset[str]
    clean: Sequence[tuple[str, str]]
    replay: Sequence[tuple[str, str]]
    requests: Sequence[tuple[str, bool]] = ()


class Scorer(Protocol):
    """Scores answers and pairs by the dimensions of the policy; `acceptable` is the one that the loop reads."""

    @abstractmethod
    def score_points(self, points: Sequence[Point]) -> list[Score]:
        """One score for each answer."""

    @abstractmethod
    def score_pairs(self, pairs: Sequence[Pair]) -> list[Score]:
        """One score for each pair: the log-odds that the first answer is the better one."""


class Critic(Scorer, Protocol):
    """The critic of the loop; named by `critic=`.

    Calibration on experts' labels, abstention and records are the loop's (`VerdictModel`). A critic that also has the
    methods of `WritesCritiques`, `Learns` or `Ensemble` is asked to do that, too.
    """

    def __init__(self, settings: Any, services: Services) -> None:
        """`settings`: an instance of the class's `Settings`, a subclass of `CriticConfig`."""


@runtime_checkable
class Ensemble(Protocol):
    """A critic that has several opinions, whose spread is the variance of its verdicts."""

    @abstractmethod
    def members(self) -> Iterator[Scorer]:
        """Its members in turn; each scores only until the next one is taken."""


@runtime_checkable
class WritesCritiques(Protocol):
    """A critic that explains its verdicts."""

    @abstractmethod
    def critique(
        self, points: Sequence[Point], acceptable: Sequence[bool], seed: int, faults: Sequence[str] = ()
    ) -> list[str]:
        """A critique of each answer that justifies the verdict given; it may quote the answer in double quotes.

        `faults` names what is wrong with each, in terms of the policy ("" where nothing is or the policy names none).
        """


@runtime_checkable
class Learns(Protocol):
    """A critic that learns."""

    @abstractmethod
    def learn(self, batch: CriticBatch, seed: int) -> dict[str, float]:
        """One phase of training; figures of it."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What a committed round keeps of it beside its adapter, as JSON."""

    @abstractmethod
    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave."""


@runtime_checkable
class CountsUnread(Protocol):
    """A role that reads a model's words, some of which cannot be read."""

    @abstractmethod
    def unread(self) -> Unread:
        """How many could not be read since the last call."""


@runtime_checkable
class WarmStarts(Protocol):
    """An attacker that learns before round 1."""

    @abstractmethod
    def warm_start(self, seed: int) -> dict[str, float]:
        """Learn from what is known beforehand; figures of it, none where nothing is."""


class Judge(Protocol):
    """Grades the answers that a report speaks of; named by `evaluation.judge=`.

    Attributes:
        name: what reports call it.
        exact: whether its verdicts are the truth by definition, so that no rate needs correcting for its errors.
    """

    name: str
    exact: bool

    def __init__(self, settings: Any, services: Services) -> None:
        """`settings`: an instance of the class's `Settings`, or of `JudgeConfig`."""

    @abstractmethod
    def outcomes(self, cases: Sequence[Case]) -> list[Outcome]:
        """What each response does with its request: help in full or in part, refuse, or neither."""


@runtime_checkable
class MakesProbes(Protocol):
    """A judge that can make answers whose right verdict is known."""

    @abstractmethod
    def probes(self, queries: Sequence[Query], count: int, seed: int) -> list[Probe]:
        """At most `count` answers of every kind to these queries."""


class Verdict(NamedTuple):
    """What a judge believes of one answer.

    Attributes:
        p: P(the answer is acceptable).
        mass: the share of the next word's probability that its verdict words have together; a model of which it is
            small would rather say something else than a verdict.
    """

    p: float
    mass: float = 1.0


@runtime_checkable
class GivesVerdicts(Protocol):
    """A judge whose outcomes rest on probabilities, cut at a threshold that answers with known verdicts can move."""

    threshold: float

    @abstractmethod
    def verdicts(self, cases: Sequence[Case]) -> list[Verdict]:
        """What it believes of each answer."""


@dataclass(frozen=True, slots=True)
class AttackFeedback:
    """What became of a round's attacks.

    Attributes:
        failures: by query id, the critic's P(the learner failed) of each answer.
        weaknesses: by query id, the critique of the worst answer; empty where nothing was written.
    """

    failures: Mapping[str, Sequence[float]]
    weaknesses: Mapping[str, str] = field(default_factory=dict)


class Attacker(Protocol):
    """Rewrites seed requests into queries that expose weaknesses; named by `attacker=`."""

    def __init__(self, settings: Any, services: Services) -> None:
        """`settings`: an instance of the class's `Settings`, a subclass of `AttackerConfig`."""

    @abstractmethod
    def attack(self, seeds: Sequence[Seed], round: int, seed: int) -> list[Query]:
        """A round's queries; `source` is `attacker` for new attacks, of these `round` is this round."""

    @abstractmethod
    def rewrite(self, seeds: Sequence[Seed], round: int, seed: int) -> list[Query]:
        """New attacks alone."""

    @abstractmethod
    def learn(self, feedback: AttackFeedback, seed: int) -> dict[str, float]:
        """Learn from the last attacks; figures of it. Whoever does not learn returns {}."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What a committed round keeps of it beside its adapter, as JSON."""

    @abstractmethod
    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave."""
