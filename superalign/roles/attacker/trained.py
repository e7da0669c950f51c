"""The attacker that learns from what worked: by DPO on its own successes against failures, by GRPO or PPO."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from superalign.attacks.reward import adapted_weight, attack_reward, attack_strength, tail_logprob
from superalign.config.sections import TrainedAttackerConfig
from superalign.data.attacks import WrittenAttack, read_attacks
from superalign.errors import UserError
from superalign.prompts import library, multi_turn
from superalign.roles.attacker.few_shot import FewShotAttacker
from superalign.roles.protocols import AttackFeedback, Services
from superalign.roles.rollouts import Rollout, anchor, pairs, rollouts
from superalign.stats.text_similarity import self_bleu
from superalign.training.algorithms.dpo import DPOPhase
from superalign.training.algorithms.policy_gradient import PolicyPhase
from superalign.training.algorithms.ppo import PPOPhase
from superalign.training.algorithms.sft import REFERENCE
from superalign.training.base import Phase, Trainer

log = logging.getLogger(__name__)

GAE_LAMBDA, VALUE_RATE = 0.95, 5e-3  # of PPO
WORKS = 0.5  # how often an elite works that is an anchor


class TrainedAttacker(FewShotAttacker):
    """Attack, remember, and learn from what worked, before round 1 from demonstrations."""

    config: TrainedAttackerConfig

    def __init__(self, settings: TrainedAttackerConfig, services: Services) -> None:
        super().__init__(settings, services)
        self._trainer = services.trainer
        self.weight = 1.0
        self._wrote: dict[str, dict[str, Any]] = {}
        source = settings.demonstrations
        setting = "attacker.demonstrations"
        self._demonstrations = read_attacks(source, services.config.data, setting, plain=True) if source else []

    @property
    def trainer(self) -> Trainer:
        """Who trains it.

        Raises:
            ValueError: there is none.
        """
        if self._trainer is None:
            raise ValueError("an attacker without a trainer cannot learn")
        return self._trainer

    def warm_start(self, seed: int) -> dict[str, float]:
        """A supervised phase on `attacker.demonstrations`; figures of it, none where there are no demonstrations.

        Demonstrations that are longer than a rewriting may be are left out: their ends could not be learned.

        Raises:
            UserError: there is none that it could learn from.
            ValueError: there is no trainer.
        """
        c, given = self.config, self._demonstrations
        if not given:
            return {}
        written = [(attack, self.chat.encode(attack.text)) for attack in given]
        fitting = [(attack, ids) for attack, ids in written if len(ids) <= c.max_new_tokens]
        told = (
            f"attacker.demonstrations={c.demonstrations}: {len(given) - len(fitting)} of {len(given)} are longer than "
            f"attacker.max_new_tokens={c.max_new_tokens} and cannot be learned"
        )
        if not fitting:
            raise UserError(told)
        if len(fitting) < len(given):
            log.warning("%s", told)
        drawn = random.Random(f"demonstrations/{seed}").sample(fitting, min(c.demonstration_rows, len(fitting)))
        rows = [self._demonstration(attack, ids) for attack, ids in drawn]
        phase = Phase.of(c, epochs=c.demonstration_epochs, anchor_batch=0)
        found = self.trainer.train("attacker", REFERENCE, rows, phase, (), seed)
        return {"demonstrations": float(len(rows)), **found}

    def _demonstration(self, attack: WrittenAttack, ids: Sequence[int]) -> dict[str, Any]:
        """A row of supervised training: what the attacker is asked of a request, and the attack on it."""
        tactic = attack.tactic if attack.tactic in self.prompts.tactics else ""
        messages = self.prompts.attack_messages(attack.plain, tactic)
        opening = self.prompts.attack.opened(request=attack.plain, tactic=tactic)
        prompt = list(self.talker.opening_ids(messages, opening))
        return {"prompt_ids": prompt, "completion_ids": self.chat.closed(ids), "weight": 1.0}

    def learn(self, feedback: AttackFeedback, seed: int) -> dict[str, float]:
        """One phase of training on this round's rollouts, then remember those that were asked.

        Raises:
            ValueError: there is no trainer.
        """
        c, failures, trainer = self.config, feedback.failures, self.trainer
        strengths = [attack_strength(failures.get(a.query.id, [0.0]), 1.0) for a in self._rollouts]
        reference = self._reference()
        rewards = self._rewards(strengths, feedback.weaknesses, reference)
        metrics = {
            "reward": float(np.mean(rewards)) if rewards else 0.0,
            "faithful": float(np.mean([a.faithful for a in self._rollouts])) if rewards else 0.0,
        }
        if c.algorithm == "dpo":
            rows = pairs(self._rollouts, rewards, self.chat, c.max_pairs)
            metrics["pairs"] = float(len(rows))
            phase = DPOPhase.of(c, loss="cdpo", nll=0.0, anchor_batch=0)
            metrics |= trainer.train("attacker", "dpo", rows, phase, (), seed) if rows else {"steps": 0.0}
        else:
            metrics |= self._explore(strengths, rewards, reference, seed)
        self.remember([a.query for a in self._rollouts], feedback)
        if c.anchor_batch:
            self._keep_anchors([a for a in self._rollouts if a.query.id in failures])
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
        found = self.trainer.train("attacker", c.algorithm, rows, phase, anchors, seed)
        return metrics | {name: value for name, value in found.items() if name not in metrics}

    def _keep_anchors(self, asked: Sequence[Rollout]) -> None:
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
        return super().state() | {"weight": self.weight, "anchors": list(self._wrote.values())}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a committed state."""
        super().restore(state)
        self.weight = float(state["weight"])
        self._wrote = {row["id"]: row for row in state["anchors"]}
