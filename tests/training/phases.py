"""Phases of training with what a test does not care about filled in."""

from __future__ import annotations

from typing import Any

from superalign.training.algorithms import sft as supervised
from superalign.training.algorithms.dpo import DPOPhase
from superalign.training.algorithms.kto import KTOPhase
from superalign.training.algorithms.policy_gradient import PolicyPhase
from superalign.training.algorithms.ppo import PPOPhase
from superalign.training.algorithms.wspo import REFERENCE as WSPO
from superalign.training.algorithms.wspo import WSPOPhase
from superalign.training.base import Phase

SFT = supervised.REFERENCE
__all__ = ["SFT", "WSPO"]
SHORT = {"learning_rate": 1e-3, "epochs": 1, "batch_size": 16}


def sft(**given: Any) -> Phase:
    return Phase(**SHORT | given)


def dpo(**given: Any) -> DPOPhase:
    return DPOPhase(**SHORT | {"loss": "cdpo", "beta": 0.1, "nll": 0.0} | given)


def kto(**given: Any) -> KTOPhase:
    return KTOPhase(**SHORT | {"beta": 0.1} | given)


def wspo(**given: Any) -> WSPOPhase:
    return WSPOPhase(**SHORT | given)


def policy(algorithm: str, **given: Any) -> PolicyPhase:
    """Of grpo, rloo or ppo."""
    common = SHORT | {"batch_size": 32, "clip": 0.2, "kl": 0.0}
    if algorithm != "ppo":
        return PolicyPhase(**common | given)
    return PPOPhase(**common | {"kl_target": 12.0, "gae_lambda": 0.95, "value_learning_rate": 5e-3} | given)
