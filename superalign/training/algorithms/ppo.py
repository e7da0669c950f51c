"""Proximal policy optimisation (arXiv 1707.06347) on recorded answers, which TRL has not had since 1.13.

The reward of an answer falls on its last token, and every token pays for leaving the base. The trainer on TRL's base is
`superalign.training.ppo_trainer`.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from superalign.training.algorithms.base import TrainerSetup
from superalign.training.algorithms.policy_gradient import (
    PolicyGradient,
    PolicyGradientSettings,
    PolicyPhase,
    mean_reward,
)


class PPOSettings(PolicyGradientSettings):
    """PPO with a value head."""

    max_rows: int = Field(
        256, gt=0, description="most answers of a round; queries whose answers differ most come first"
    )
    kl: float = Field(0.02, ge=0.0, description="price of a nat that a token strays from the base, at first")
    kl_target: float | None = Field(
        12.0,
        gt=0.0,
        description="nats that an answer may stray from the base, towards which kl is adapted; null: fixed",
    )
    gae_lambda: float = Field(0.95, ge=0.0, le=1.0, description="of generalised advantage estimation; 1 is Monte Carlo")
    value_learning_rate: float = Field(5e-3, gt=0.0, description="learning rate of the value head")


class PPOPhase(PolicyPhase):
    """One phase of PPO; see `PPOSettings`."""

    kl_target: float | None
    gae_lambda: float
    value_learning_rate: float


class PPO(PolicyGradient):
    """Learns from rewards of sampled answers, token by token."""

    Settings = PPOSettings
    Phase = PPOPhase
    min_spread = 0.0  # answers are not compared within their query

    @classmethod
    def trainer(cls, setup: TrainerSetup) -> Any:
        """Our trainer on TRL's base; rows get values, returns and advantages first."""
        from superalign.training.ppo_trainer import ValueFunction, make

        setup.measured |= mean_reward(setup.rows)
        hidden = setup.common["model"].get_base_model().get_output_embeddings().weight.shape[-1]
        value = ValueFunction.fresh(hidden, setup.phase.value_learning_rate, setup.phase.kl)
        if setup.state is not None:
            value.restore(setup.state)
        setup.measured["kl_coefficient"] = value.kl
        return make(setup, value)

    @classmethod
    def state(cls, trainer: Any, setup: TrainerSetup) -> Any:
        """The value head with its optimizer, and the price of a nat, adapted to what the answers strayed."""
        trainer.value.adapt(setup.measured["base_kl"], setup.phase.kl_target)
        return trainer.value.state()
