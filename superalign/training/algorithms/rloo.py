"""REINFORCE leave-one-out on recorded answers: TRL's RLOOTrainer and loss (arXiv 2402.14740)."""

from __future__ import annotations

from typing import Any

from superalign.training.algorithms.base import TrainerSetup
from superalign.training.algorithms.grpo import ComparingSettings
from superalign.training.algorithms.policy_gradient import PolicyGradient, grouped, mean_reward


class RLOO(PolicyGradient):
    """Each answer against the mean of the others to its query: one ratio for each answer, clipped."""

    Settings = ComparingSettings

    @classmethod
    def trainer(cls, setup: TrainerSetup) -> Any:
        """TRL's trainer on recorded answers."""
        from trl import RLOOConfig, RLOOTrainer

        from superalign.training.algorithms.advantages import leave_one_out
        from superalign.training.recorded import own_arguments, recorded

        setup.measured |= mean_reward(setup.rows)
        advantages = leave_one_out([r["reward"] for r in setup.rows], [r["group"] for r in setup.rows])
        config = RLOOConfig(**setup.arguments, **own_arguments(setup.phase))
        return recorded(RLOOTrainer, config, setup, grouped(setup, advantages))
