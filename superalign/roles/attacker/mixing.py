"""What the built-in attackers share: the mixture of attacks of now, past ones and static ones, and the archive."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from superalign.attacks.archive import Archive
from superalign.attacks.families import apply_families, opponents
from superalign.attacks.reward import attack_strength
from superalign.config.sections import MixingAttackerConfig
from superalign.records import Query, Seed
from superalign.roles.protocols import AttackFeedback, Services


class MixingAttacker:
    """Mixes its attacks of now (`rewrite`) with past and static ones, and remembers what became of them."""

    def __init__(self, settings: MixingAttackerConfig, services: Services) -> None:
        self.config: Any = settings
        self.plugin = services.config.plugin
        self.archive = Archive()

    def attack(self, seeds: Sequence[Seed], round: int, seed: int) -> list[Query]:
        """Queries of one round: a share `current` of new attacks, `past` of archived ones, the rest static.

        Of static ones there is one at least, and one at most for each seed.
        """
        c, total = self.config, len(seeds) * self.config.candidates
        fresh = seeds[: max(1, round_half(c.current * len(seeds)))]
        current = self.rewrite(fresh, round, seed)
        count = int(c.past * total)
        past = self.archive.league(count, c.elites, seed) if c.league else self.archive.sample(count, seed)
        rest = seeds[-max(1, round_half((1 - c.current - c.past) * total)) :]
        static = apply_families(rest, round, opponents(c.families), self.plugin)
        queries = {q.id: q for q in (*current, *past, *static)}
        return list(queries.values())

    @abstractmethod
    def rewrite(self, seeds: Sequence[Seed], round: int, seed: int) -> list[Query]:
        """New attacks alone."""

    def remember(self, attacks: Sequence[Query], feedback: AttackFeedback) -> None:
        """Keep those attacks that were asked, and how strong all were that were asked again."""
        failures, weaknesses = feedback.failures, feedback.weaknesses
        if self.config.league:
            self.archive.seen_again({name: attack_strength(failed, 1.0) for name, failed in failures.items()})
        asked = [query for query in attacks if query.id in failures]
        strengths = [attack_strength(failures[query.id], 1.0) for query in asked]
        self.archive.add(asked, [weaknesses.get(query.id, "") for query in asked], strengths)

    def state(self) -> dict[str, Any]:
        """What a committed round keeps of this role."""
        return {"archive": self.archive.to_rows()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a committed state."""
        self.archive = Archive.from_rows(state["archive"])


def round_half(value: float) -> int:
    """Nearest integer, halves up."""
    return int(value + 0.5)
