"""The attacker that rewrites seed requests as its prompts tell and show it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from superalign.attacks.faithfulness import faithful_gate
from superalign.attacks.tactics import choose_tactics
from superalign.config.sections import FewShotAttackerConfig
from superalign.prompts import multi_turn
from superalign.prompts.reading import Unread
from superalign.records import Query, Seed, content_id
from superalign.roles.attacker.mixing import MixingAttacker
from superalign.roles.attacker.talks import Talk, Talker
from superalign.roles.protocols import AttackFeedback, Services
from superalign.roles.rollouts import Rollout, Turn


class FewShotAttacker(MixingAttacker):
    """Rewrites seed requests, each `candidates` times, so that the attempts can be compared, and never learns.

    A rewriting that has lost what its seed asks, or that cannot be read as one, is a failed attempt and is not asked:
    nobody could label the answer. Where the prompts have tactics, each two rewritings of a seed are told the same one,
    since only answers to one and the same question can be compared. Neighbours share their tactics, so that harmful and
    benign seeds, which alternate, meet the same ones.
    """

    config: FewShotAttackerConfig

    def __init__(self, settings: FewShotAttackerConfig, services: Services) -> None:
        super().__init__(settings, services)
        self.generator, self.talker = services.generator, Talker(settings, services)
        self.chat, self.prompts = self.talker.chat, self.talker.prompts
        self.by_letters = services.config.data.seeds == "testbed"
        self.failed: Counter[tuple[str, str, int]] = Counter()
        self._tried: Counter[tuple[str, str, int]] = Counter()
        self._rollouts: list[Rollout] = []

    def rewrite(self, seeds: Sequence[Seed], round: int, seed: int) -> list[Query]:
        """New attacks alone, `candidates` on each seed; what `learn` learns from."""
        talks = self._talks(seeds, round)
        self._tried = Counter((talk.seed.category, talk.told, round) for talk in talks if talk.told)
        self.talker.hold(talks, seed)
        is_faithful = faithful_gate(self.config, self.by_letters, [s.text for s in seeds])
        self._rollouts = self._read(talks, round, is_faithful)
        return [attempt.query for attempt in self._rollouts if attempt.faithful]

    def learn(self, feedback: AttackFeedback, seed: int) -> dict[str, float]:
        """Remember the attacks that were asked; the share of faithful ones."""
        share = float(np.mean([a.faithful for a in self._rollouts])) if self._rollouts else 0.0
        self.remember([a.query for a in self._rollouts], feedback)
        return {"faithful": share}

    def remember(self, attacks: Sequence[Query], feedback: AttackFeedback) -> None:
        """Keep those attacks that were asked, and by cell how many attempts brought nothing new to ask."""
        known = len(self.archive)
        super().remember(attacks, feedback)
        self.failed += self._tried - Counter((q.category, q.tactic, q.round) for q in self.archive.queries[known:])
        self._tried = Counter()

    def unread(self) -> Unread:
        """How many rewritings could not be read since the last call."""
        return self.talker.reading.take()

    def state(self) -> dict[str, Any]:
        """What a committed round keeps of this role: the archive, and attempts by cell that came to nothing."""
        return super().state() | {"failed": [[*cell, count] for cell, count in sorted(self.failed.items())]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a committed state."""
        super().restore(state)
        self.failed = Counter({(category, tactic, round): n for category, tactic, round, n in state.get("failed", ())})
        self._rollouts, self._tried = [], Counter()

    def _talks(self, seeds: Sequence[Seed], round: int) -> list[Talk]:
        """What is to be said on each seed, with the tactics chosen for it."""
        c, tactics = self.config, list(self.prompts.tactics)
        if not tactics:
            return [Talk(s) for s in seeds for _ in range(c.candidates)]
        each, pairs = max(1, c.candidates // 2), [seeds[first : first + 2] for first in range(0, len(seeds), 2)]
        categories = [[s.category for s in pair] for pair in pairs for _ in range(each)]
        told = choose_tactics(categories, tactics, self.archive, self.failed, round, c.exploration)
        return [
            Talk(s, told[number // 2 * each + candidate * each // c.candidates])
            for number, s in enumerate(seeds)
            for candidate in range(c.candidates)
        ]

    def _read(self, talks: Sequence[Talk], round: int, is_faithful: Callable[[str, str], bool]) -> list[Rollout]:
        """The different attempts of these talks."""
        written: dict[str, Talk] = {}
        duplicates: dict[str, list[tuple[Turn, ...]]] = {}
        for talk in talks:
            if talk.turns:
                wrote = content_id("attack", talk.seed.id, *(t.generation.text for t in talk.turns))
                if wrote in written:
                    duplicates.setdefault(wrote, []).append(tuple(talk.turns))
                else:
                    written[wrote] = talk
        texts = [talk.text for talk in written.values()]
        novelty = self.archive.novelty(texts, [talk.seed.category for talk in written.values()])
        out = []
        for (identity, talk), text, n in zip(written.items(), texts, novelty.tolist(), strict=True):
            s = talk.seed
            query = Query(identity, s.id, text, s.kind, s.category, talk.tactic, "attacker", round, n)
            faithful = bool(talk.said) and is_faithful(s.text, multi_turn.asked(text))
            turns, copies = tuple(talk.turns), tuple(duplicates.get(identity, ()))
            out.append(Rollout(query, faithful, turns, copies, talk.told))
        return out
