"""Group-relative policy optimisation on recorded answers: TRL's GRPOTrainer and loss (arXiv 2402.03300)."""

from __future__ import annotations

from typing import Any, Self

from pydantic import model_validator

from superalign.training.algorithms.base import TrainerSetup
from superalign.training.algorithms.policy_gradient import (
    PolicyGradient,
    PolicyGradientSettings,
    mean_reward,
)


class ComparingSettings(PolicyGradientSettings):
    """Settings of algorithms that compare the answers to one query."""

    @model_validator(mode="after")
    def _compared(self) -> Self:
        if self.samples < 2:
            raise ValueError(f"learner={self.algorithm} compares answers to one query: learner.samples must be >= 2")
        return self


class GRPO(PolicyGradient):
    """Answers to one query against each other: token ratios, clipped, the mean over tokens and then over answers."""

    Settings = ComparingSettings

    @classmethod
    def trainer(cls, setup: TrainerSetup) -> Any:
        """TRL's trainer on recorded answers."""
        from trl import GRPOConfig, GRPOTrainer

        from superalign.training.algorithms.advantages import group_relative
        from superalign.training.recorded import own_arguments, recorded

        setup.measured |= mean_reward(setup.rows)
        config = GRPOConfig(**setup.arguments, **own_arguments(setup.phase), beta=setup.phase.kl, loss_type="grpo")
        return recorded(GRPOTrainer, config, setup, setup.phase.base_kl, group_relative)
