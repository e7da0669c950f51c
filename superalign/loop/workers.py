"""The roles and services of a run: made, restored from the last committed round, kept in sync, saved."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superalign.config.schema import Config
from superalign.data.seeds import draw_seeds, read_seeds
from superalign.errors import ActorLost, UserError
from superalign.evaluation.harness import EvaluationSet, build_set
from superalign.evaluation.real_text.sets import RealSets, read_sets
from superalign.generation.backends import generator_class
from superalign.generation.base import Generator
from superalign.generation.pool import GeneratorPool
from superalign.prompts.reading import Unread
from superalign.records import ExpertLabel, Judgement, Query, Response, Seed, content_id
from superalign.registry import LEARNERS
from superalign.roles.critic.registry import critic_class
from superalign.roles.critic.verdicts import VerdictModel
from superalign.roles.expert import Expert
from superalign.roles.judge import make_judge, simulated_expert
from superalign.roles.learner import Learner
from superalign.roles.protocols import Attacker, CountsUnread, GivesHiddenStates, Judge, WarmStarts
from superalign.roles.replay_buffer import ReplayBuffer
from superalign.runtime.cluster import Cluster
from superalign.runtime.lazy_class import LazyClass
from superalign.runtime.placement import ResourcePlan
from superalign.store.adapters import MEMORY, TRAINED, WEIGHTS, load_memory
from superalign.store.run_writer import RunWriter
from superalign.training.algorithms.base import LearnerAlgorithm
from superalign.training.base import ADAPTER, Trainer
from superalign.training.batch import ScoredResponse, score_responses

if TYPE_CHECKING:
    from superalign.roles.attacker.complete import CompleteAttacker
    from superalign.training.reward import TrainedReward

log = logging.getLogger(__name__)
MOST_MISMATCH = 0.01
ATTACKER: LazyClass[CompleteAttacker] = LazyClass(
    "superalign.roles.attacker.complete", "CompleteAttacker", (Attacker, CountsUnread, WarmStarts)
)
SERVICES = ("generator", "trainer")
TRAINER: LazyClass[Trainer] = LazyClass("superalign.training.service", "TrainingService", (Trainer,))
PACKAGES = ("superalign", "torch", "transformers", "trl", "peft", "datasets", "ray", "hydra-core")


def stage_seed(seed: int, number: int) -> int:
    """The seed of one round: the same however often the round is done."""
    return int(content_id("round", seed, number), 16) % 2**31


def versions() -> dict[str, str]:
    """Versions of what the run stands on."""
    return {name: metadata.version(name) for name in PACKAGES}


def spawn_generator(config: Config, cluster: Cluster, resources: ResourcePlan, served: dict[str, str]) -> Any:
    """The engine of a run, or the pool of its engines, which still has none."""
    own, threads = config.generator, config.cluster.threads
    backend = generator_class(own, {role: served[role] for role in TRAINED})
    places = resources.engines()
    if own.engines == 1:
        (place,) = places.values()
        return cluster.spawn("generator", backend, served, config.lora, own, threads, threads=threads, place=place)
    share = max(1, threads // own.engines) if resources.shared else threads
    made = served, config.lora, own, share
    return cluster.spawn(
        "generator", GeneratorPool, cluster.nested(), backend, made, share, own.min_engines, own.engines
    )


def spawn_reward(config: Config, cluster: Cluster, resources: ResourcePlan) -> TrainedReward | None:
    """The reward model that the learner is to be paid by, if there is one."""
    if not (run := getattr(config.learner, "reward", None)):
        return None
    from superalign.training.reward import TrainedReward

    threads = config.cluster.threads
    return cluster.spawn("reward", TrainedReward, run, threads, threads=threads, place=resources.reserve_one())


@dataclass
class Workers:
    """Everybody who takes part in a run."""

    config: Config
    cluster: Cluster
    resources: ResourcePlan
    generator: Generator
    pool: GeneratorPool | None
    trainer: Trainer
    attacker: CompleteAttacker
    critic: VerdictModel
    learner: Learner
    expert: Expert
    judge: Judge
    replay: ReplayBuffer
    reward: TrainedReward | None
    train_seeds: Sequence[Seed]
    sets: dict[bool, EvaluationSet]
    real_sets: RealSets
    retained: list[dict[str, Any]] = field(default_factory=list)  # rows of `superalign.loop.retention`
    _seen: dict[str, float] = field(default_factory=dict)

    @classmethod
    def make(cls, config: Config, run: RunWriter, cluster: Cluster) -> Workers:
        """Start services and roles without waiting for them; `restore` waits.

        The sets are for the evaluations between (False) and at both ends (True).
        """
        models = {role: config.model_of(role) for role in TRAINED}
        threads, workers = config.cluster.threads, config.cluster.learner_workers
        resources = ResourcePlan(config)
        each = max(1, threads // workers) if resources.shared else threads
        generator = spawn_generator(config, cluster, resources, {**models, "judge": models["critic"]})
        sleeper = generator if config.generator.sleep else None
        trainer: Trainer = cluster.spawn(
            "trainer",
            TRAINER,
            models,
            config.lora,
            each,
            dtype=config.trainer.dtype,
            sleeper=sleeper,
            shard=config.cluster.shard,
            micro_batch=config.trainer.micro_batch,
            threads=each,
            workers=workers,
            place=resources.reserve_one() if workers == 1 else None,
        )
        found = read_seeds(config.data, config.seed)
        found.summary.tell(run)
        seeds = found.seeds
        trained_on = [s for s in seeds if s.split == "train"]
        real_sets = read_sets(config, (s.text for s in trained_on))
        for line in real_sets.told:
            run.progress.say(line)
        # vLLM keeps hidden states to itself; the trainer has the same weights.
        states: GivesHiddenStates = generator if config.generator.backend == "hf" else trainer
        judge = make_judge(config, generator, states)
        return cls(
            config=config,
            cluster=cluster,
            resources=resources,
            generator=generator,
            pool=generator if config.generator.engines > 1 else None,
            trainer=trainer,
            attacker=cluster.spawn("attacker", ATTACKER, config, generator, trainer, states=states),
            critic=cluster.spawn("critic", critic_class(config), config, generator, trainer, states=states),
            learner=cluster.spawn("learner", Learner, config, generator, trainer, calls=1 + config.ahead.max_staleness),
            expert=Expert(
                config,
                run.experts_path,
                simulated_expert(config),
                run.progress.say,
                [s.text for s in seeds if s.split == "eval"],
            ),
            judge=judge,
            replay=ReplayBuffer(config.learner.anchors),
            reward=spawn_reward(config, cluster, resources),
            train_seeds=trained_on,
            sets={
                ends: build_set(config, seeds, judge, config.evaluation.final_factor if ends else 1)
                for ends in (False, True)
            },
            real_sets=real_sets,
        )

    def restore(self, run: RunWriter) -> None:
        """Wait until everybody stands and take up the last committed round, if there is one."""
        self.cluster.ready()
        self.resize_engines()
        self.replay = ReplayBuffer(self.replay.most)
        last = run.last_round()
        if last is not None:
            folder = run.round_path(last)
            memory = load_memory(run)
            self.trainer.load((folder / WEIGHTS).resolve())
            self.attacker.restore(memory["attacker"])
            self.expert.restore(memory["cursor"])
            self.critic.restore(memory["critic"], self.expert.answered(until=memory["cursor"]))
            self.replay = ReplayBuffer.from_rows(memory["replay"], self.replay.most)
            self.retained = memory.get("retained", [])
        for role in TRAINED:
            self.sync(role)

    @property
    def algorithm(self) -> type[LearnerAlgorithm]:
        """What the learner learns by."""
        algorithm: type[LearnerAlgorithm] = LEARNERS.load(self.config.learner.algorithm)
        return algorithm

    def draw_seeds(self, number: int) -> list[Seed]:
        """The seed requests that the attacker starts from in a round."""
        return draw_seeds(self.train_seeds, self.config.attacker.seeds, number, self.config.seed)

    def resize_engines(self) -> None:
        """Between rounds: as many engines as the cluster has room for by now."""
        if self.pool is not None:
            self.pool.resize(self.resources.engines())

    def restart(self, loss: ActorLost) -> None:
        """Make everybody anew on what the cluster has by now: learner workers come before engines beyond the least.

        Raises:
            ActorLost, UserError: see `Cluster.restart` and `ResourcePlan`.
        """
        self.resources.make_room()
        self.cluster.restart(loss)

    def sync(self, role: str) -> None:
        """Weight sync: the trainer's adapter of a role becomes the one that the generator serves.

        Raises:
            RuntimeError: the generator serves another version afterwards.
        """
        version = self.trainer.version(role)
        served = self.generator.load_adapter(role, self.trainer.adapter(role), version)
        if served != version:
            raise RuntimeError(f"{role}: the generator serves version {served}, the trainer has {version}")

    def policy_mismatch(self, responses: Sequence[Response], limit: int = 64) -> dict[str, float]:
        """How far the policy that answered is from the one that is trained.

        `staleness` in updates; at 0 KL per token (nats) between generator and trainer is `mismatch_kl`, warned above
        .01, since gradients then belong to another policy than the one that answered. Later it is `drift_kl`: that of
        the updates as well.
        """
        rows = [
            {"prompt_ids": list(r.prompt_ids), "completion_ids": list(r.token_ids), "logprobs": list(r.logprobs)}
            for r in responses
            if r.origin == "sample" and r.token_ids
        ]
        if not rows:
            return {"staleness": 0.0, "mismatch_kl": 0.0}
        kl = self.trainer.mismatch("learner", rows[:limit])
        if staleness := self.trainer.version("learner") - min(r.version for r in responses):
            return {"staleness": float(staleness), "drift_kl": kl}
        if kl > MOST_MISMATCH:
            log.warning("mismatch_kl %.3g: generator and trainer disagree on the learner's own answers", kl)
        return {"staleness": 0.0, "mismatch_kl": kl}

    def idle(self) -> dict[str, float]:
        """Share of the time since the last call that generator and trainer had nothing to do; empty inline."""
        now, before = time.perf_counter(), self._seen
        spent = {name: s for name in SERVICES if (s := self.cluster.busy_seconds(name)) is not None}
        self._seen = {"clock": now, **spent}
        if not before:
            return {}
        # A service that was started anew since counts from there.
        busy = {name: s - before[name] if s >= before[name] else s for name, s in spent.items()}
        return {name: max(0.0, 1 - s / (now - before["clock"])) for name, s in busy.items()}

    def unread(self) -> Unread:
        """What could not be read of what the roles wrote since the last call; see `superalign.prompts.reading`."""
        return {**self.attacker.unread(), **self.critic.unread(), **self.learner.unread()}

    def score(
        self,
        cases: Sequence[tuple[Query, Response]],
        points: Sequence[Judgement],
        labels: Sequence[ExpertLabel],
        errors: Mapping[str, float],
    ) -> list[ScoredResponse]:
        """The learner's answers as it learns from them: judged by critic and experts, or scored by `learner.reward`."""
        if self.reward is None:
            return score_responses(cases, points, labels, errors)
        found = self.reward.acceptable([(q.text, r.text) for q, r in cases])
        return [ScoredResponse(response, p, 1.0) for (_, response), p in zip(cases, found, strict=True)]

    def save(self, folder: Path) -> None:
        """Write weights, optimizers and memories into a round's folder.

        Raises:
            UserError: the trainer, on another node, has written its weights where this process does not see them.
        """
        weights = (folder / WEIGHTS).resolve()
        self.trainer.save(weights)
        for role in TRAINED:
            if not (weights / role / ADAPTER).is_file():
                raise UserError(
                    f"run.root: the trainer's node has written {weights / role / ADAPTER}, which is not here: give a "
                    "folder on storage that all nodes share"
                )
        memory = {
            "attacker": self.attacker.state(),
            "critic": self.critic.state(),
            "replay": self.replay.to_rows(),
            "retained": self.retained,
            "cursor": self.expert.take_up(),
        }
        (folder / MEMORY).write_text(json.dumps(memory), encoding="utf-8")
