"""The whole of the frozen, typed schema. A default lives in the schema and nowhere else; conf/ holds differences."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import ConfigDict, Field, model_validator

from superalign.config.sections import (
    AsyncConfig,
    AttackerConfig,
    ClusterConfig,
    CriticConfig,
    DataConfig,
    EvaluationConfig,
    ExpertConfig,
    GeneratorConfig,
    GuardsConfig,
    LearnerConfig,
    LoraConfig,
    NameList,
    NonNegative,
    Positive,
    RedteamConfig,
    RefineConfig,
    RewardConfig,
    RunConfig,
    Section,
    TrackConfig,
    TrainerConfig,
    W2SConfig,
)


class Config(Section):
    """Everything a run can be told.

    `supervision=weak_to_strong`: the critic counts as a weak supervisor of the learner, whose loss gets the confidence
    term of arXiv 2312.09390 (`w2s.alpha`, `w2s.ramp`). `method`, `weak` and `strong` are the task's own where none is
    named.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    recipe: str = "selfplay"
    seed: NonNegative = 0
    rounds: Positive = 7
    model: str = "testbed"
    supervision: Literal["noise_aware", "weak_to_strong"] = "noise_aware"
    task: NameList = ("digits", "qa", "safety")
    method: NameList = ()
    weak: NameList = ()
    strong: NameList = ()
    run: RunConfig = RunConfig()
    data: DataConfig = DataConfig()
    lora: LoraConfig = LoraConfig()
    attacker: AttackerConfig = AttackerConfig()
    critic: CriticConfig = CriticConfig()
    learner: LearnerConfig = LearnerConfig()
    expert: ExpertConfig = ExpertConfig()
    generator: GeneratorConfig = GeneratorConfig()
    trainer: TrainerConfig = TrainerConfig()
    cluster: ClusterConfig = ClusterConfig()
    ahead: AsyncConfig = Field(AsyncConfig(), alias="async")
    evaluation: EvaluationConfig = EvaluationConfig()
    guards: GuardsConfig = GuardsConfig()
    redteam: RedteamConfig = RedteamConfig()
    refine: RefineConfig = RefineConfig()
    reward: RewardConfig = RewardConfig()
    w2s: W2SConfig = W2SConfig()
    track: TrackConfig = TrackConfig()

    @model_validator(mode="after")
    def _supervision(self) -> Self:
        learner = self.learner
        if self.supervision == "weak_to_strong" and learner.algorithm not in ("dpo", "online_dpo"):
            raise ValueError(
                f"supervision=weak_to_strong mixes preference labels, which learner={learner.algorithm} does not read: "
                "use learner=dpo or online_dpo"
            )
        if self.supervision == "weak_to_strong" and learner.loss in ("dpo", "ropo"):
            raise ValueError(
                f"supervision=weak_to_strong changes the labels, which learner.loss={learner.loss} does not read: "
                "use learner.loss=cdpo, rdpo, drdpo or ipo"
            )
        if learner.algorithm in ("grpo", "rloo") and learner.samples < 2:
            raise ValueError(f"learner={learner.algorithm} compares answers to one query: learner.samples must be >= 2")
        return self

    @model_validator(mode="after")
    def _refined(self) -> Self:
        if self.recipe == "self_refine" and (self.learner.algorithm != "dpo" or self.learner.iterations > 1):
            raise ValueError(
                f"recipe=self_refine learns once a round by refine.method={self.refine.method} (sft or dpo): "
                f"learner={self.learner.algorithm} with learner.iterations={self.learner.iterations} is for "
                "recipe=selfplay, use learner=dpo and learner.iterations=1"
            )
        return self

    @model_validator(mode="after")
    def _ahead(self) -> Self:
        if not self.ahead.max_staleness:
            return self
        if self.recipe != "selfplay":
            raise ValueError(
                f"async.max_staleness=1 is for recipe=selfplay; recipe={self.recipe} has no loop to overlap"
            )
        if self.cluster.mode == "inline":
            raise ValueError(
                "async.max_staleness=1 needs processes that work side by side: use cluster=laptop, or max_staleness=0"
            )
        if self.generator.sleep:
            raise ValueError(
                "async.max_staleness=1 has the generator answer while the learner trains, generator.sleep=true has it "
                "leave the GPU then: set one of them back"
            )
        if self.learner.iterations > 1:
            raise ValueError(
                f"async.max_staleness=1: learner={self.learner.algorithm} answers anew in each of "
                f"learner.iterations={self.learner.iterations} phases, which leaves nothing to overlap: set "
                "learner.iterations=1 or async.max_staleness=0"
            )
        return self

    @model_validator(mode="after")
    def _critic(self) -> Self:
        critic = self.critic
        frozen = self.evaluation.judge == "frozen_critic" or (
            self.evaluation.judge == "auto" and self.data.seeds != "testbed"
        )
        if critic.stages == 2 and critic.evaluator == "judge" and frozen:
            raise ValueError(
                "critic.stages=2 rewards critiques by the initial critic's verdicts, which here also grade the "
                "evaluation: use critic.evaluator=critic"
            )
        if critic.stages == 2 and critic.evaluator == "judge" and self.guards.enabled:
            raise ValueError(
                "critic.stages=2 rewards critiques by the initial critic's verdicts, by which guards also grade: "
                "use critic.evaluator=critic or guards.enabled=false"
            )
        if critic.kind == "classifier" and self.guards.enabled:
            raise ValueError("guards take back adapters, and critic=classifier trains none: use guards.enabled=false")
        return self

    @model_validator(mode="after")
    def _placed(self) -> Self:
        cluster, engines = self.cluster, self.generator.engines
        if cluster.mode == "inline" and (engines > 1 or cluster.learner_workers > 1 or cluster.placement != "shared"):
            raise ValueError(
                "cluster=inline is one process: generator.engines, cluster.learner_workers and cluster.placement are "
                "for cluster=laptop, gpu1, gpu8 or multinode"
            )
        if cluster.placement == "colocated" and (
            engines != cluster.learner_workers or self.generator.tensor_parallel > 1 or cluster.accelerator == "CPU"
        ):
            raise ValueError(
                "cluster.placement=colocated puts one engine and one learner worker on each GPU: set generator.engines="
                f"cluster.learner_workers (now {engines} and {cluster.learner_workers}), "
                "generator.tensor_parallel=1 and cluster.accelerator=GPU, or use cluster.placement=split"
            )
        if cluster.learner_workers > 1 and self.recipe in ("weak_to_strong", "reward_model"):
            raise ValueError(
                f"cluster.learner_workers={self.cluster.learner_workers} is for the recipes that train adapters of "
                f"roles; recipe={self.recipe} trains in one process: set it back to 1"
            )
        return self

    @model_validator(mode="after")
    def _sleeping(self) -> Self:
        models = {self.model_of(role) for role in ("attacker", "critic", "learner")}
        if self.generator.sleep and len(models) > 1:
            raise ValueError(
                f"generator.sleep=true is for one model: {len(models)} have an engine each, whose memory vLLM frees "
                "for the whole process at once; set it back, or attacker.model and critic.model"
            )
        return self

    def model_of(self, role: str) -> str:
        """The model a role runs on: its own `ROLE.model` or the shared base."""
        own = {"attacker": self.attacker.model, "critic": self.critic.model}.get(role)
        return own or self.model
