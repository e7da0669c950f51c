"""The whole of the frozen, typed schema. A default lives in the schema and nowhere else; conf/ holds differences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from superalign.config.plugins import SLOTS, plugins_class, settings_class
from superalign.config.sections import (
    AdapterCriticConfig,
    AsyncConfig,
    AttackerConfig,
    ClusterConfig,
    CriticConfig,
    DataConfig,
    EvaluationConfig,
    ExpertConfig,
    GeneratorConfig,
    GuardsConfig,
    JudgeConfig,
    LearnerConfig,
    LoraConfig,
    ModelsConfig,
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
from superalign.registry import LEARNERS
from superalign.store.renamed_settings import refuse_renamed

LOOPLESS = ("critic", "redteam", "reward_model", "self_refine", "weak_to_strong")
"""The recipes that ship and have nothing to overlap."""


class Config(Section):
    """Everything a run can be told. Attacker, critic, learner and judge have the settings of whoever is selected."""

    model_config = ConfigDict(serialize_by_alias=True)

    recipe: str = Field("selfplay", description="what is run: a recipe that ships, path/to/file.py or package.module")
    seed: NonNegative = Field(0, description="seed of all random draws")
    rounds: Positive = Field(7, description="rounds of the run; a resumed run may ask for more")
    model: str = Field(
        "testbed",
        description="model of every role that has none of its own: testbed, testbed-small, hub:OWNER/NAME, a folder of "
        "save_pretrained or of an adapter, FILE.gguf, or a run (RUN:ROLE)",
    )
    prompts: str = Field(
        "auto",
        description="what roles are asked: testbed, chat (for instruct models), or a YAML file, which may hold "
        "differences alone (based_on: chat); auto: testbed for the models that ship, chat for others",
    )
    policy: str = Field(
        "auto",
        description="what makes an answer acceptable: acceptable (one question), safety (harm, compliance and "
        "soundness judged apart), or a YAML file; auto: acceptable for the models that ship, safety for others",
    )
    supervision: Literal["noise_aware", "weak_to_strong"] = Field(
        "noise_aware",
        description="weak_to_strong: the critic counts as a weak supervisor of the learner, whose loss gets the "
        "confidence term of arXiv 2312.09390 (w2s.alpha, w2s.ramp)",
    )
    task: NameList = Field(("digits", "qa", "safety"), description="recipe=weak_to_strong: tasks, by name or reference")
    method: NameList = Field(
        (), description="recipe=weak_to_strong: how students learn from weak labels; empty: the task's own methods"
    )
    weak: NameList = Field((), description="recipe=weak_to_strong: weak models; empty: the task's own")
    strong: NameList = Field((), description="recipe=weak_to_strong: strong models; empty: the task's own")
    run: RunConfig = RunConfig()
    data: DataConfig = DataConfig()
    models: ModelsConfig = ModelsConfig()
    lora: LoraConfig = LoraConfig()
    attacker: SerializeAsAny[AttackerConfig] = Field(default_factory=AttackerConfig, validate_default=True)
    critic: SerializeAsAny[CriticConfig] = Field(default_factory=CriticConfig, validate_default=True)
    learner: SerializeAsAny[LearnerConfig] = Field(default_factory=LearnerConfig, validate_default=True)
    expert: ExpertConfig = ExpertConfig()
    generator: GeneratorConfig = GeneratorConfig()
    trainer: TrainerConfig = TrainerConfig()
    cluster: ClusterConfig = ClusterConfig()
    ahead: AsyncConfig = Field(AsyncConfig(), alias="async")
    evaluation: EvaluationConfig = EvaluationConfig()
    judge: SerializeAsAny[JudgeConfig] = Field(default_factory=JudgeConfig, validate_default=True)
    guards: GuardsConfig = GuardsConfig()
    redteam: RedteamConfig = RedteamConfig()
    refine: RefineConfig = RefineConfig()
    reward: RewardConfig = RewardConfig()
    w2s: W2SConfig = W2SConfig()
    track: TrackConfig = TrackConfig()
    plugin: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        validate_default=True,
        description="plugin.NAME.KEY: settings of attack families, tasks, methods and suites that have their own",
    )

    @model_validator(mode="before")
    @classmethod
    def _names(cls, values: Any) -> Any:
        if isinstance(values, Mapping):
            refuse_renamed(values)
        return values

    @field_validator("attacker", "critic", "learner", "judge", mode="wrap")
    @classmethod
    def _selected(cls, given: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        """A section as the settings of the plug-in that it, or `evaluation.judge`, names."""
        section = str(info.field_name)
        holder, _, field = SLOTS[section].field.rpartition(".")
        values = given.model_dump(exclude_unset=True) if isinstance(given, BaseModel) else given
        if not isinstance(values, Mapping):
            return handler(given)
        named = values.get(field) if holder == section else getattr(info.data.get(holder), field, None)
        if not isinstance(named, str | None):
            return handler(given)
        chosen = settings_class(section, named or SLOTS[section].default)
        return given if isinstance(given, chosen) else chosen.model_validate(values)

    @field_validator("plugin", mode="after")
    @classmethod
    def _plugins(cls, given: dict[str, dict[str, Any]], info: ValidationInfo) -> dict[str, dict[str, Any]]:
        """The settings of all other plug-ins that are selected, complete."""
        return plugins_class(info.data).model_validate(given).model_dump()

    @model_validator(mode="after")
    def _supervision(self) -> Self:
        if self.supervision != "weak_to_strong":
            return self
        algorithm, loss = self.learner.algorithm, getattr(self.learner, "loss", None)
        if LEARNERS.load(algorithm).learns_from != "pairs":
            raise ValueError(
                f"supervision=weak_to_strong mixes preference labels, which learner={algorithm} does not read: "
                "use learner=dpo or online_dpo"
            )
        if loss in ("dpo", "ropo"):
            raise ValueError(
                f"supervision=weak_to_strong changes the labels, which learner.loss={loss} does not read: "
                "use learner.loss=cdpo, rdpo, drdpo or ipo"
            )
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
        if self.recipe in LOOPLESS:
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
        if LEARNERS.load(self.learner.algorithm).on_policy and self.learner.temperature != 1:
            raise ValueError(
                f"async.max_staleness=1: learner={self.learner.algorithm} corrects for answers of an older policy by "
                "their recorded log-probabilities, which are those at temperature 1: set learner.temperature=1 or "
                "async.max_staleness=0"
            )
        return self

    @model_validator(mode="after")
    def _critic(self) -> Self:
        critic = self.critic
        if self.guards.enabled and not critic.trains_adapter:
            raise ValueError(
                f"guards take back adapters, and critic={critic.kind} trains none: use guards.enabled=false"
            )
        by_judge = isinstance(critic, AdapterCriticConfig) and critic.stages == 2 and critic.evaluator == "judge"
        frozen = self.evaluation.judge == "frozen_critic" or (
            self.evaluation.judge == "auto" and self.data.seeds != "testbed"
        )
        if by_judge and frozen:
            raise ValueError(
                "critic.stages=2 rewards critiques by the initial critic's verdicts, which here also grade the "
                "evaluation: use critic.evaluator=critic"
            )
        if by_judge and self.guards.enabled:
            raise ValueError(
                "critic.stages=2 rewards critiques by the initial critic's verdicts, by which guards also grade: "
                "use critic.evaluator=critic or guards.enabled=false"
            )
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
        return self.model if own is None else own
