"""The sections of the schema: what each part of a run can be told, and its defaults."""

from superalign.sections.common import Fraction, NonNegative, Positive, Rate, Section, Several
from superalign.sections.recipes import RedteamConfig, RefineConfig, RewardConfig, W2SConfig
from superalign.sections.roles import AttackerConfig, CriticConfig, ExpertConfig, LearnerConfig
from superalign.sections.runs import DataConfig, EvaluationConfig, GuardsConfig, RunConfig, TrackConfig
from superalign.sections.services import AsyncConfig, ClusterConfig, GeneratorConfig, LoraConfig, TrainerConfig

__all__ = [
    "AsyncConfig",
    "AttackerConfig",
    "ClusterConfig",
    "CriticConfig",
    "DataConfig",
    "EvaluationConfig",
    "ExpertConfig",
    "Fraction",
    "GeneratorConfig",
    "GuardsConfig",
    "LearnerConfig",
    "LoraConfig",
    "NonNegative",
    "Positive",
    "Rate",
    "RedteamConfig",
    "RefineConfig",
    "RewardConfig",
    "RunConfig",
    "Section",
    "Several",
    "TrackConfig",
    "TrainerConfig",
    "W2SConfig",
]
