"""The roles and services of a run: made, restored from the last committed round, kept in sync, saved."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from superalign.config import Config
from superalign.data import load_seeds
from superalign.evaluation.harness import EvaluationSet, build_set
from superalign.evaluation.judges import Judge, make_judge, oracle_expert
from superalign.feedback.anchors import Anchors
from superalign.generation.base import Generator
from superalign.records import Response, Seed, content_id
from superalign.roles.attacker import Attacker
from superalign.roles.critic import Critic
from superalign.roles.critics import critic_class
from superalign.roles.expert import Expert
from superalign.roles.learner import Learner
from superalign.runtime.cluster import Cluster
from superalign.store.run import Run
from superalign.training.base import Trainer

log = logging.getLogger(__name__)
MOST_MISMATCH = 0.01
TRAINED = ("attacker", "critic", "learner")
MEMORY, WEIGHTS = "memory.json", "adapters"
PACKAGES = ("superalign", "torch", "transformers", "trl", "peft", "datasets", "ray", "hydra-core")


def stage_seed(seed: int, number: int) -> int:
    """The seed of one round: the same however often the round is done."""
    return int(content_id("round", seed, number), 16) % 2**31


def versions() -> dict[str, str]:
    """Versions of what the run stands on."""
    return {name: metadata.version(name) for name in PACKAGES}


@dataclass
class Team:
    """Everybody who takes part in a run."""

    cluster: Cluster
    generator: Generator
    trainer: Trainer
    attacker: Attacker
    critic: Critic
    learner: Learner
    expert: Expert
    judge: Judge
    anchors: Anchors
    train_seeds: Sequence[Seed]
    sets: dict[bool, EvaluationSet]

    @classmethod
    def make(cls, config: Config, run: Run, cluster: Cluster) -> Team:
        """Start services and roles without waiting for them; `restore` waits.

        The sets are for the evaluations between (False) and at both ends (True).
        """
        from superalign.generation.backends import generator_class
        from superalign.training.service import TrainingService

        models = {role: config.model_of(role) for role in TRAINED}
        threads = config.cluster.threads
        served = {**models, "judge": models["critic"]}
        backend = generator_class(config.generator, models)
        generator: Generator = cluster.spawn(
            "generator", backend, served, config.lora, config.generator, threads, threads=threads
        )
        trainer: Trainer = cluster.spawn("trainer", TrainingService, models, config.lora, threads, threads=threads)
        seeds = load_seeds(config.data, config.seed)
        judge = make_judge(config, generator)
        simulator = oracle_expert if config.data.seeds == "testbed" else None
        return cls(
            cluster=cluster,
            generator=generator,
            trainer=trainer,
            attacker=cluster.spawn("attacker", Attacker, config, generator, trainer),
            critic=cluster.spawn("critic", critic_class(config), config, generator, trainer),
            learner=cluster.spawn("learner", Learner, config, generator, trainer),
            expert=Expert(config, run.experts_path, simulator),
            judge=judge,
            anchors=Anchors(),
            train_seeds=[s for s in seeds if s.split == "train"],
            sets={
                ends: build_set(config, seeds, judge, config.evaluation.final_factor if ends else 1)
                for ends in (False, True)
            },
        )

    def restore(self, run: Run) -> None:
        """Wait until everybody stands and take up the last committed round, if there is one."""
        self.cluster.ready()
        self.anchors = Anchors()
        last = run.last_round()
        if last is not None:
            folder = run.round_path(last)
            memory: dict[str, Any] = json.loads((folder / MEMORY).read_text(encoding="utf-8"))
            self.trainer.load((folder / WEIGHTS).resolve())
            self.attacker.restore(memory["attacker"])
            self.critic.restore(memory["critic"], self.expert.answered(until=memory["cursor"]))
            self.anchors = Anchors.from_rows(memory["anchors"])
        for role in TRAINED:
            self.sync(role)

    def sync(self, role: str) -> None:
        """Weight sync: the trainer's adapter of a role becomes the one that the generator serves.

        Raises:
            RuntimeError: the generator serves another version afterwards.
        """
        version = self.trainer.version(role)
        served = self.generator.load_adapter(role, self.trainer.adapter(role), version)
        if served != version:
            raise RuntimeError(f"{role}: the generator serves version {served}, the trainer has {version}")

    def mismatch(self, responses: Sequence[Response], limit: int = 64) -> float:
        """KL per token (nats) between generator and trainer on answers that the learner has just given.

        Warned above .01: gradients then belong to another policy than the one that answered.
        """
        rows = [
            {"prompt_ids": list(r.prompt_ids), "completion_ids": list(r.token_ids), "logprobs": list(r.logprobs)}
            for r in responses
            if r.origin == "sample" and r.token_ids
        ]
        kl = self.trainer.mismatch("learner", rows[:limit]) if rows else 0.0
        if kl > MOST_MISMATCH:
            log.warning("mismatch_kl %.3g: generator and trainer disagree on the learner's own answers", kl)
        return kl

    def save(self, folder: Path) -> None:
        """Write weights, optimizers and memories into a round's folder."""
        self.trainer.save((folder / WEIGHTS).resolve())
        memory = {
            "attacker": self.attacker.state(),
            "critic": self.critic.state(),
            "anchors": self.anchors.to_rows(),
            "cursor": self.expert.queue.cursor(),
        }
        (folder / MEMORY).write_text(json.dumps(memory), encoding="utf-8")
