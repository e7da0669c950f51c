"""The attacker: rewrites seed requests into queries that expose weaknesses, and learns from what worked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from superalign.attacks.archive import Archive
from superalign.attacks.faithfulness import faithful_gate
from superalign.attacks.families import apply_families, opponents
from superalign.attacks.reward import adapted_weight, attack_reward, attack_strength, tail_logprob
from superalign.config.schema import Config
from superalign.config.sections import TrainedAttackerConfig
from superalign.config.texts import prompts_of
from superalign.generation.base import GenerationRequest, Generator
from superalign.models import load_chat
from superalign.prompts import library, multi_turn
from superalign.records import Query, Seed, content_id
from superalign.registry import ATTACKERS
from superalign.roles.protocols import Attacker, AttackFeedback, GivesHiddenStates, Services
from superalign.roles.rollouts import Rollout, Turn, anchor, pairs, rollouts
from superalign.stats.text_similarity import self_bleu
from superalign.training.algorithms.dpo import DPOPhase
from superalign.training.algorithms.policy_gradient import PolicyPhase
from superalign.training.algorithms.ppo import PPOPhase
from superalign.training.base import Phase, Trainer

GAE_LAMBDA, VALUE_RATE = 0.95, 5e-3  # of PPO
WORKS = 0.5  # how often an elite works that is an anchor


@dataclass
class _Talk:
    """An attack in the making: the attacker's turns, and what was said by both sides."""

    seed: Seed
    turns: list[Turn] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    tactic: str = "free"
    silent: bool = False


class TrainedAttacker:
    """Attack, remember, and learn from what worked: by DPO on its own successes against failures, by GRPO or PPO."""

    def __init__(self, settings: TrainedAttackerConfig, services: Services) -> None:
        config = services.config
        self.config, self.reply_tokens, self.plugin = settings, config.learner.max_new_tokens, config.plugin
        self.generator, self.trainer = services.generator, services.trainer
        self.chat, self.other_chat = load_chat(config.model_of("attacker")), load_chat(config.model_of("learner"))
        self.is_faithful = faithful_gate(settings, by_letters=config.data.seeds == "testbed")
        self.prompts = prompts_of(config)
        self.archive = Archive()
        self.weight = 1.0
        self._rollouts: list[Rollout] = []
        self._wrote: dict[str, dict[str, Any]] = {}

    def attack(self, seeds: Sequence[Seed], round: int, seed: int) -> list[Query]:
        """Queries of one round: a share `current` of new rewritings, `past` of archived ones, the rest static.

        Of static ones there is one at least, and one at most for each seed.

        Every current seed is rewritten `candidates` times, so that its attempts can be compared. A rewriting that has
        lost what its seed asks is a failed attempt and is not asked: nobody could label the answer.
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

    def rewrite(self, seeds: Sequence[Seed], round: int, seed: int) -> list[Query]:
        """New attacks alone, `candidates` on each seed; what `learn` learns from."""
        self._rollouts = self._attack(seeds, round, seed)
        return [attempt.query for attempt in self._rollouts if attempt.faithful]

    def _attack(self, seeds: Sequence[Seed], round: int, seed: int) -> list[Rollout]:
        talks = [_Talk(s) for s in seeds for _ in range(self.config.candidates)]
        for number in range(self.config.turns):
            if number:
                self._hear(talks, seed + number)
            self._ask(talks, seed + number)
        written: dict[str, _Talk] = {}
        duplicates: dict[str, list[tuple[Turn, ...]]] = {}
        for talk in talks:
            if talk.said:
                wrote = content_id("attack", talk.seed.id, *(t.generation.text for t in talk.turns))
                if wrote in written:
                    duplicates.setdefault(wrote, []).append(tuple(talk.turns))
                else:
                    written[wrote] = talk
        texts = [multi_turn.carry(talk.said) for talk in written.values()]
        novelty = self.archive.novelty(texts, [talk.seed.category for talk in written.values()])
        out = []
        for (identity, talk), text, n in zip(written.items(), texts, novelty.tolist(), strict=True):
            s = talk.seed
            query = Query(identity, s.id, text, s.kind, s.category, talk.tactic, "attacker", round, n)
            faithful = self.is_faithful(s.text, multi_turn.asked(text))
            out.append(Rollout(query, faithful, tuple(talk.turns), tuple(duplicates.get(identity, ()))))
        return out

    def _ask(self, talks: Sequence[_Talk], seed: int) -> None:
        """The attacker's next turn of every dialogue; one in which it says nothing ends with the answer before."""
        c, speaking, requests = self.config, [talk for talk in talks if not talk.silent], []
        for talk in speaking:
            if talk.said:
                query, answer = talk.said[-2:]
                messages, opening = (
                    self.prompts.refine_messages(talk.seed.text, query, answer),
                    self.prompts.refine.opening,
                )
            else:
                messages, opening = self.prompts.attack_messages(talk.seed.text), self.prompts.attack.opening
            ids = (*self.chat.prompt_ids(messages, c.max_new_tokens), *(self.chat.encode(opening) if opening else ()))
            requests.append(GenerationRequest("attacker", ids, c.max_new_tokens, c.temperature))
        for talk, request, wrote in zip(speaking, requests, self.generator.generate(requests, seed), strict=True):
            opening = self.prompts.refine.opening if talk.said else self.prompts.attack.opening
            read = self.prompts.read_attack(opening + wrote.text)
            if read is not None:
                tactic, text = read
                talk.turns.append(Turn(request.prompt_ids, wrote))
                talk.said.append(multi_turn.clean(text))
                talk.tactic = tactic
            else:
                talk.silent = True
                talk.said = talk.said[:-1]

    def _hear(self, talks: Sequence[_Talk], seed: int) -> None:
        """The learner's answer in every dialogue, the likeliest one."""
        speaking = [talk for talk in talks if not talk.silent]
        asked = [library.respond(multi_turn.carry(talk.said)) for talk in speaking]
        requests = [
            GenerationRequest(
                "learner", tuple(self.other_chat.prompt_ids(m, self.reply_tokens)), self.reply_tokens, 0.0
            )
            for m in asked
        ]
        for talk, answer in zip(speaking, self.generator.generate(requests, seed), strict=True):
            talk.said.append(multi_turn.clean(answer.text))

    def learn(self, feedback: AttackFeedback, seed: int) -> dict[str, float]:
        """One phase of training on this round's rollouts, then remember those that were asked.

        Raises:
            ValueError: there is no trainer.
        """
        if self.trainer is None:
            raise ValueError("an attacker without a trainer cannot learn")
        c, failures, weaknesses = self.config, feedback.failures, feedback.weaknesses
        strengths = [attack_strength(failures.get(a.query.id, [0.0]), 1.0) for a in self._rollouts]
        reference = self._reference()
        rewards = self._rewards(strengths, weaknesses, reference)
        metrics = {
            "reward": float(np.mean(rewards)) if rewards else 0.0,
            "faithful": float(np.mean([a.faithful for a in self._rollouts])) if rewards else 0.0,
        }
        if c.algorithm == "dpo":
            rows = pairs(self._rollouts, rewards, self.chat, c.max_pairs)
            metrics["pairs"] = float(len(rows))
            phase = DPOPhase.of(c, loss="cdpo", nll=0.0, anchor_batch=0)
            metrics |= self.trainer.train("attacker", "dpo", rows, phase, (), seed) if rows else {"steps": 0.0}
        else:
            metrics |= self._explore(strengths, rewards, reference, seed)
        asked = [a for a in self._rollouts if a.query.id in failures]
        strength = {a.query.id: s for a, s in zip(self._rollouts, strengths, strict=True)}
        if c.league:
            self.archive.seen_again({name: attack_strength(failed, 1.0) for name, failed in failures.items()})
        found = [a.query for a in asked]
        self.archive.add(found, [weaknesses.get(q.id, "") for q in found], [strength[q.id] for q in found])
        if c.anchor_batch:
            self._remember(asked)
        if c.target is not None and self._rollouts:
            self.weight = adapted_weight(self.weight, float(np.mean(strengths)), c.target, c.novelty_rate)
        return metrics

    def _explore(
        self, strengths: Sequence[float], rewards: Sequence[float], reference: Sequence[Sequence[float]], seed: int
    ) -> dict[str, float]:
        """A phase of policy gradients. PPO pays for leaving the base token by token, GRPO here, for the whole."""
        c = self.config
        kl = [
            sum(x for turn in a.turns for x in turn.generation.logprobs) - sum(r)
            for a, r in zip(self._rollouts, reference, strict=True)
        ]
        grpo, base_kl = c.algorithm == "grpo", 0.0
        price = c.kl if grpo else 0.0
        if c.temperature != 1:  # then these are not the log-probabilities of the policy that acted: training prices
            price, base_kl = 0.0, price
        prices = [price * nats for nats in kl]
        rows = rollouts(self._rollouts, rewards, prices, self.chat, compared=grpo)
        metrics = {
            "strength": float(np.mean(strengths)) if strengths else 0.0,
            "base_nats": float(np.mean(kl)) if kl else 0.0,
            "novelty_weight": self.novelty_weight,
            "rewritings": float(len(rows)),
        }
        if not rows:
            return metrics | {"steps": 0.0}
        own: dict[str, Any] = {"kl_target": None, "gae_lambda": GAE_LAMBDA, "value_learning_rate": VALUE_RATE}
        phase: Phase = PolicyPhase.of(c, kl=0.0, base_kl=base_kl) if grpo else PPOPhase.of(c, **own)
        anchors = list(self._wrote.values()) if c.anchor_batch else []
        assert self.trainer is not None
        found = self.trainer.train("attacker", c.algorithm, rows, phase, anchors, seed)
        return metrics | {name: value for name, value in found.items() if name not in metrics}

    def _remember(self, asked: Sequence[Rollout]) -> None:
        """Keep the openings of those elites that work, as anchors of the next phases."""
        fresh = {row["id"]: row for row in (anchor(a, self.chat) for a in asked)}
        known = self._wrote | fresh
        places = [place for chosen in self.archive.elites(self.config.elites).values() for place in chosen]
        working = [self.archive.queries[i].id for i in places if self.archive.strengths[i] >= WORKS]
        self._wrote = {name: known[name] for name in working if name in known}

    @property
    def novelty_weight(self) -> float:
        """The weight of the novelty block in the reward."""
        return self.weight if self.config.novelty else 0.0

    def _reference(self) -> list[list[float]]:
        """Log-probabilities of each attempt's tokens under the frozen base, over all its turns."""
        turns = [turn for a in self._rollouts for turn in a.turns]
        if not turns:
            return []
        found = iter(
            self.generator.sequence_logprobs(
                None, [turn.prompt_ids for turn in turns], [turn.generation.token_ids for turn in turns]
            )
        )
        return [[x for _ in a.turns for x in next(found)] for a in self._rollouts]

    def _rewards(
        self, strengths: Sequence[float], weaknesses: Mapping[str, str], reference: Sequence[Sequence[float]]
    ) -> list[float]:
        if not self._rollouts:
            return []
        own = [a.query for a in self._rollouts]
        texts, categories = [q.text for q in own], [q.category for q in own]
        said = [weaknesses.get(q.id, "") for q in own]
        reward = attack_reward(
            strengths,
            [q.novelty for q in own],
            self.archive.behaviour_novelty(said, categories),
            self.archive.rarity(categories, [q.tactic for q in own]),
            self_bleu(texts),
            faithful=[a.faithful for a in self._rollouts],
            fluent=[bool(r) and tail_logprob(r) >= self.config.fluency_floor for r in reference],
            addresses_judge=[library.addresses_grader(multi_turn.asked(t)) for t in texts],
            duplicate=self.archive.duplicates(texts, self.config.duplicate),
            weight=self.novelty_weight,
        )
        return [float(r) for r in reward]

    def state(self) -> dict[str, Any]:
        """What a committed round keeps of this role: the archive, the weight of novelty, the anchors."""
        return {"archive": self.archive.to_rows(), "weight": self.weight, "anchors": list(self._wrote.values())}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a committed state."""
        self.archive, self.weight = Archive.from_rows(state["archive"]), float(state["weight"])
        self._wrote = {row["id"]: row for row in state["anchors"]}
        self._rollouts = []


def round_half(value: float) -> int:
    """Nearest integer, halves up."""
    return int(value + 0.5)


def make_attacker(
    config: Config, generator: Generator, trainer: Trainer | None, states: GivesHiddenStates | None = None
) -> Attacker:
    """The attacker that the settings ask for; `states` gives hidden states, by default the generator.

    Raises:
        UserError: there is none of this name, or it lacks what an attacker must have.
    """
    services = Services(config, generator, trainer, "attacker", states or generator)
    attacker: Attacker = ATTACKERS.load(config.attacker.kind)(config.attacker, services)
    return attacker
