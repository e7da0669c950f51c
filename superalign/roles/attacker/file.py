"""The attacker that asks what people or others have written: `attacker=file attacker.attacks=FILE`."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from superalign.config.sections import FileAttackerConfig
from superalign.data.attacks import WrittenAttack, read_attacks
from superalign.errors import UserError
from superalign.records import Query, Seed
from superalign.roles.attacker.mixing import MixingAttacker, known_query, written_query
from superalign.roles.protocols import AttackFeedback, Services

SETTING: Final = "attacker.attacks"


class FileAttacker(MixingAttacker):
    """Asks the attacks of a file.

    A seed whose text is the plain request of attacks gets these, `candidates` a round, in turn. For each other seed
    as many of the rest are taken that ask for the same kind of thing: queries of their own, with their own kinds.
    Rounds walk through the file. It never learns.

    Raises:
        UserError: no file is given, it cannot be read, lacks a column, or says of an attack neither harmful nor benign.
    """

    config: FileAttackerConfig

    def __init__(self, settings: FileAttackerConfig, services: Services) -> None:
        super().__init__(settings, services)
        if settings.attacks is None:
            raise UserError(f"attacker=file asks the attacks of a file: set {SETTING}=FILE")
        self._by_request: dict[str, list[WrittenAttack]] = {}
        self._pools: dict[str, list[WrittenAttack]] = {}
        for attack in read_attacks(settings.attacks, services.config.data, SETTING, kinds=True):
            self._by_request.setdefault(attack.plain.strip(), []).append(attack)
            self._pools.setdefault(str(attack.kind), []).append(attack)
        self._by_request.pop("", None)
        for kind, pool in self._pools.items():
            random.Random(f"{services.config.seed}/{kind}").shuffle(pool)
        self._asked: list[Query] = []

    def rewrite(self, seeds: Sequence[Seed], round: int, seed: int) -> list[Query]:
        """New attacks alone: on these seeds where the file has any, else of the same kinds."""
        most, found = self.config.candidates, dict[str, Query]()
        lacking = Counter[str]()
        for s in seeds:
            if own := self._by_request.get(s.text.strip()):
                for attack in _turn(own, most, round):
                    query = written_query(attack, s.id, s.kind, s.category, round)
                    found.setdefault(query.id, query)
            else:
                lacking[s.kind] += most
        for kind, count in lacking.items():
            for attack in _turn(self._pools.get(kind, []), count, round):
                query = known_query(attack, round)
                found.setdefault(query.id, query)
        queries = list(found.values())
        novelty = self.archive.novelty([q.text for q in queries], [q.category for q in queries]).tolist()
        self._asked = [replace(query, novelty=n) for query, n in zip(queries, novelty, strict=True)]
        return self._asked

    def learn(self, feedback: AttackFeedback, seed: int) -> dict[str, float]:
        """Remember the attacks that were asked; how many they are."""
        self.remember(self._asked, feedback)
        return {"asked": float(sum(query.id in feedback.failures for query in self._asked))}


def _turn(attacks: Sequence[WrittenAttack], count: int, round: int) -> list[WrittenAttack]:
    """Those of a round, none twice."""
    start = (round - 1) * count
    return [attacks[(start + place) % len(attacks)] for place in range(min(count, len(attacks)))]
