"""What the built-in attackers share: the mixture of attacks of now, past ones and static ones, and the archive."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from superalign.attacks.archive import Archive
from superalign.attacks.families import apply_families, opponents
from superalign.attacks.reward import attack_strength
from superalign.config.sections import MixingAttackerConfig
from superalign.data.attacks import WrittenAttack, read_attacks
from superalign.prompts.library import FREE
from superalign.records import Kind, Query, Seed, content_id
from superalign.roles.protocols import AttackFeedback, Services

KNOWN: Final = "attacker.known"
UNTRIED: Final = 0.5  # strength of known attacks that were not asked yet
GENERAL: Final = "general"  # risk category of attacks without one, as of requests without one


class MixingAttacker:
    """Mixes its attacks of now (`rewrite`) with past and static ones, and remembers what became of them.

    Raises:
        UserError: `attacker.known` cannot be read, lacks a column, or says of an attack neither harmful nor benign.
    """

    def __init__(self, settings: MixingAttackerConfig, services: Services) -> None:
        self.config: Any = settings
        self.plugin = services.config.plugin
        self.archive = Archive()
        if settings.known:
            known = read_attacks(settings.known, services.config.data, KNOWN, kinds=True)
            found = [known_query(attack, 0) for attack in as_many_of_either(known, services.config.seed)]
            self.archive.add(found, [""] * len(found), [UNTRIED] * len(found))

    def attack(self, seeds: Sequence[Seed], round: int, seed: int) -> list[Query]:
        """Queries of one round: a share `current` of new attacks, `past` of archived ones, the rest static.

        Of static ones there is one at least, and one at most for each seed.
        """
        c, total = self.config, len(seeds) * self.config.candidates
        fresh = seeds[: c.fresh(len(seeds))]
        current = self.rewrite(fresh, round, seed) if fresh else []
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


def as_many_of_either(attacks: Sequence[WrittenAttack], seed: int) -> list[WrittenAttack]:
    """As many harmful as harmless ones, the surplus left out at random; all where they are of one kind."""
    sizes = Counter(attack.kind for attack in attacks)
    kept: set[int] = set()
    for kind in sizes:
        places = [place for place, attack in enumerate(attacks) if attack.kind == kind]
        kept.update(random.Random(f"known/{seed}").sample(places, min(sizes.values())))
    return [attack for place, attack in enumerate(attacks) if place in kept]


def known_query(attack: WrittenAttack, round: int) -> Query:
    """An attack whose request is no seed."""
    request = content_id("request", attack.plain or attack.text)
    return written_query(attack, request, attack.kind or "harmful", attack.category or GENERAL, round)


def written_query(attack: WrittenAttack, seed_id: str, kind: Kind, category: str, round: int) -> Query:
    """An attack that somebody has written, as it is asked."""
    identity = content_id("written", seed_id, attack.text)
    return Query(identity, seed_id, attack.text, kind, category, attack.tactic or FREE, "attacker", round)


def round_half(value: float) -> int:
    """Nearest integer, halves up."""
    return int(value + 0.5)
