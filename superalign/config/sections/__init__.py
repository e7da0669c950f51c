"""The sections of the schema: what each part of a run can be told, and its defaults."""

from superalign.config.sections.attackers import (
    AttackerConfig,
    FewShotAttackerConfig,
    FileAttackerConfig,
    MixingAttackerConfig,
    TrainedAttackerConfig,
)
from superalign.config.sections.common import Fraction, NameList, NonNegative, Positive, PositiveFloat, Section
from superalign.config.sections.experts import ExpertConfig
from superalign.config.sections.recipes import RedteamConfig, RefineConfig, RewardConfig, W2SConfig
from superalign.config.sections.roles import (
    AdapterCriticConfig,
    CriticConfig,
    JudgeConfig,
    LearnerConfig,
    LoraClassifierConfig,
    ProbeCriticConfig,
    ProbeJudgeConfig,
    ProbeSettings,
)
from superalign.config.sections.runs import DataConfig, EvaluationConfig, GuardsConfig, RunConfig, TrackConfig
from superalign.config.sections.services import (
    AsyncConfig,
    ClusterConfig,
    GeneratorConfig,
    LoraConfig,
    ModelsConfig,
    TrainerConfig,
)

__all__ = [
    "AdapterCriticConfig",
    "AsyncConfig",
    "AttackerConfig",
    "ClusterConfig",
    "CriticConfig",
    "DataConfig",
    "EvaluationConfig",
    "ExpertConfig",
    "FewShotAttackerConfig",
    "FileAttackerConfig",
    "Fraction",
    "GeneratorConfig",
    "GuardsConfig",
    "JudgeConfig",
    "LearnerConfig",
    "LoraClassifierConfig",
    "LoraConfig",
    "MixingAttackerConfig",
    "ModelsConfig",
    "NameList",
    "NonNegative",
    "Positive",
    "PositiveFloat",
    "ProbeCriticConfig",
    "ProbeJudgeConfig",
    "ProbeSettings",
    "RedteamConfig",
    "RefineConfig",
    "RewardConfig",
    "RunConfig",
    "Section",
    "TrackConfig",
    "TrainedAttackerConfig",
    "TrainerConfig",
    "W2SConfig",
]
