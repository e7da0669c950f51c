"""How many calls of a model each part of a round takes, at most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from superalign.config.schema import Config
from superalign.config.sections import (
    AdapterCriticConfig,
    FewShotAttackerConfig,
    MixingAttackerConfig,
    TrainedAttackerConfig,
)
from superalign.config.texts import prompts_of
from superalign.planning.run_plan import Calls, Training, Verdicts, Work
from superalign.registry import ATTACKERS, CRITICS, JUDGES, LEARNERS

SIDES: Final = {"debate": 2, "consultancy": 1}
"""Arguments that a critic reads before each verdict."""
WORDLESS: Final = "classifier"
KINDS: Final = 2  # of requests, harmful and benign
CHOICES: Final = 4


@dataclass(frozen=True)
class Counter:
    """Counts what the roles of some settings do."""

    config: Config

    def scored(self, stage: str, points: int, pairs: int = 0, alone: bool = False, role: str = "critic") -> list[Work]:
        """The critic's verdicts on responses and pairs; `alone`: without the other members of an ensemble.

        A pair is read in both orders, and both of its responses alone.
        """
        critic = self.config.critic
        members = 0
        if isinstance(critic, AdapterCriticConfig) and not alone and critic.variance != "views":
            members = critic.members
        work: list[Work] = [Verdicts(stage, (points + 4 * pairs) * (1 + members))]
        if sides := SIDES.get(critic.kind, 0):
            work.append(Calls(stage, role, sides * (points + 2 * pairs), critic.max_new_tokens))
        return work

    def critiques(self, stage: str, count: int) -> list[Work]:
        """Critiques of so many responses."""
        critic = self.config.critic
        return [] if critic.kind == WORDLESS else [Calls(stage, "critic", count, critic.max_new_tokens)]

    def answers(self, stage: str, count: int) -> list[Work]:
        """Answers or revisions of the learner."""
        return [Calls(stage, "learner", count, self.config.learner.max_new_tokens)]

    def judged(self, stage: str, count: int) -> list[Work]:
        """Answers graded by the judge of the evaluation; the testbed's oracle reads no model's mind."""
        name = self.config.evaluation.judge
        exact = name == "oracle" or (name == "auto" and self.config.data.seeds == "testbed")
        return [] if exact else [Verdicts(stage, count)]

    def evaluation(self, factor: int) -> list[Work]:
        """The held-out evaluation at `factor` times its sizes."""
        e, config = self.config.evaluation, self.config
        attacks = e.prompts * factor
        harmful = attacks * (2 + len(config.attacker.families) + 2 * len(e.heldout_families))
        count = harmful + (e.benign + e.lookalikes) * factor
        probes = e.critic_probe * (2 if factor > 1 else 1)
        work = self.answers("evaluate", count) + self.judged("evaluate", count)
        return work + self.scored("evaluate", count + probes, alone=True)

    def real_text(self) -> list[Work]:
        """One measurement of `evaluation.requests`, `choices` and `texts`; questions have four choices."""
        e = self.config.evaluation
        asked = len(e.requests) * e.requests_per_set * KINDS
        scored = len(e.choices) * e.choices_per_set * CHOICES + len(e.texts) * e.texts_per_set
        work: list[Work] = [*self.answers("evaluate", asked), *self.judged("evaluate", asked)] if asked else []
        return work + ([Verdicts("evaluate", scored)] if scored else [])

    def refinement(self, factor: int) -> list[Work]:
        """The frozen attacker of the evaluation that refines its queries."""
        e, attacker = self.config.evaluation, self.config.attacker
        streams = 2 * e.prompts * factor
        if not e.refinement:
            return []
        limit = attacker.max_new_tokens if isinstance(attacker, FewShotAttackerConfig) else 96
        work: list[Work] = [Calls("evaluate", "judge", e.refinement * streams, limit)]
        work += self.answers("evaluate", (e.refinement + 1) * streams)
        return [*work, Verdicts("evaluate", e.refinement * streams), *self.judged("evaluate", streams)]

    def rewritten(self, seeds: int) -> int:
        """New attacks on so many seeds."""
        attacker = self.config.attacker
        return seeds * (attacker.candidates if isinstance(attacker, MixingAttackerConfig) else 1)

    def attacks(self, seeds: int, replies: int | None = None) -> list[Work]:
        """Calls that rewriting so many seeds takes: in dialogues the learner answers between two turns."""
        attacker = self.config.attacker
        if not isinstance(attacker, FewShotAttackerConfig):
            return []
        talks = self.rewritten(seeds)
        work: list[Work] = [Calls("attack", "attacker", talks * attacker.turns, attacker.max_new_tokens)]
        return work + (self.answers("attack", talks * (attacker.turns - 1)) if attacker.turns > 1 else [])

    def attacker_training(self, seeds: int) -> list[Work]:
        """A phase of the attacker on its rewritings of so many seeds."""
        a = self.config.attacker
        if not isinstance(a, TrainedAttackerConfig):
            return []
        turns = self.rewritten(seeds) * a.turns
        pairs = a.algorithm == "dpo"
        groups = seeds * (max(1, a.candidates // 2) if prompts_of(self.config).tactics else 1)
        rows = min(a.max_pairs, groups) if pairs else turns
        anchors = 0 if pairs else a.anchor_batch
        training = Training("attacker", rows, a.epochs, a.batch_size, 1 + pairs, a.max_new_tokens, anchors)
        return [Verdicts("train_attacker", turns), training]

    def before_round_1(self) -> list[Work]:
        """The first learner's answers that are retained, and the attacker's phase on demonstrations."""
        a, count = self.config.attacker, self.config.learner.retained
        work = self.answers("respond", count) if count else []
        if isinstance(a, TrainedAttackerConfig) and a.demonstrations:
            rows, epochs = a.demonstration_rows, a.demonstration_epochs
            work.append(Training("attacker", rows, epochs, a.batch_size, 1, a.max_new_tokens + 1))
        return work

    def learner_training(self, pairs: int, responses: int, samples: int) -> Training:
        """A phase of the learner on so many preferences, or scored responses, `samples` of them sampled."""
        c = self.config.learner
        learns_from, on_policy = (getattr(LEARNERS.load(c.algorithm), name) for name in ("learns_from", "on_policy"))
        rows = pairs if learns_from == "pairs" else samples if on_policy else responses
        most = min((getattr(c, name) for name in ("max_pairs", "max_rows") if hasattr(c, name)), default=rows)
        completions = 2 if learns_from == "pairs" else 1
        return Training(
            "learner", min(rows, most), c.epochs, c.batch_size, completions, c.max_new_tokens + 1, c.anchor_batch
        )

    def notes(self) -> list[str]:
        """What plug-ins leave unknown."""
        c = self.config
        named = {"attacker": (ATTACKERS, c.attacker.kind), "critic": (CRITICS, c.critic.kind)}
        named |= {"learner": (LEARNERS, c.learner.algorithm), "evaluation.judge": (JUDGES, c.evaluation.judge)}
        foreign = [f"{key}={name}" for key, (registry, name) in named.items() if registry.is_reference(name)]
        out = [f"{' and '.join(foreign)}: what these ask of a model is not known"] if foreign else []
        if c.evaluation.suites:
            out.append(f"evaluation.suites={','.join(c.evaluation.suites)}: what these ask is not counted")
        return out
