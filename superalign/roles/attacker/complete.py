"""The attacker as the loop uses it: what an attacker need not have is there all the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from superalign.config.schema import Config
from superalign.generation.base import Generator
from superalign.prompts.reading import Unread
from superalign.records import Query, Seed
from superalign.roles.attacker import make_attacker
from superalign.roles.protocols import AttackFeedback, CountsUnread, GivesHiddenStates, WarmStarts
from superalign.training.base import Trainer


class CompleteAttacker:
    """The attacker of the settings; one that reads nothing has nothing unread, one that needs no warm start has none.

    Raises:
        UserError: as `make_attacker`.
    """

    def __init__(
        self, config: Config, generator: Generator, trainer: Trainer | None, states: GivesHiddenStates | None = None
    ) -> None:
        self.attacker = make_attacker(config, generator, trainer, states)

    def attack(self, seeds: Sequence[Seed], round: int, seed: int) -> list[Query]:
        """A round's queries; see `Attacker.attack`."""
        return self.attacker.attack(seeds, round, seed)

    def rewrite(self, seeds: Sequence[Seed], round: int, seed: int) -> list[Query]:
        """New attacks alone; see `Attacker.rewrite`."""
        return self.attacker.rewrite(seeds, round, seed)

    def learn(self, feedback: AttackFeedback, seed: int) -> dict[str, float]:
        """Learn from the last attacks; see `Attacker.learn`."""
        return self.attacker.learn(feedback, seed)

    def warm_start(self, seed: int) -> dict[str, float]:
        """What is learned before round 1; see `WarmStarts.warm_start`."""
        return self.attacker.warm_start(seed) if isinstance(self.attacker, WarmStarts) else {}

    def unread(self) -> Unread:
        """How many rewritings could not be read since the last call."""
        return self.attacker.unread() if isinstance(self.attacker, CountsUnread) else {}

    def state(self) -> dict[str, Any]:
        """What a committed round keeps of it; see `Attacker.state`."""
        return self.attacker.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave."""
        self.attacker.restore(state)
