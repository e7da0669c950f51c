"""REINFORCE leave-one-out on recorded answers: TRL's RLOOTrainer and loss (arXiv 2402.14740)."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from superalign.training.algorithms.base import TrainerSetup
from superalign.training.algorithms.grpo import ComparingSettings
from superalign.training.algorithms.policy_gradient import PolicyGradient, mean_reward


class RLOOSettings(ComparingSettings):
    """RLOO; what leaving the base costs is part of the reward."""

    kl: float = Field(
        0.02, ge=0.0, description="what is taken off an answer's reward for each nat that it strays from the base"
    )


class RLOO(PolicyGradient):
    """Each answer against the mean of the others to its query: one ratio for each answer, clipped.

    The reward of an answer is r - kl * (log pi - log base), sums over its tokens (arXiv 2402.14740 section 2). So it is
    in TRL, too; but TRL's reference is the policy as its trainer is made, which here is the one that answered.
    """

    Settings = RLOOSettings

    @classmethod
    def trainer(cls, setup: TrainerSetup) -> Any:
        """TRL's trainer on recorded answers."""
        from trl import RLOOConfig, RLOOTrainer

        from superalign.training.algorithms.advantages import leave_one_out
        from superalign.training.recorded import own_arguments, recorded

        setup.measured |= mean_reward(setup.rows)
        config = RLOOConfig(**setup.arguments, **own_arguments(setup.phase), beta=0.0)
        return recorded(RLOOTrainer, config, setup, setup.phase.kl, leave_one_out)
