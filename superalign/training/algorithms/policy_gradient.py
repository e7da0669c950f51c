"""What GRPO, RLOO and PPO share: settings, and rows of recorded answers with their rewards."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any, ClassVar, Literal

from pydantic import Field

from superalign.config.sections import LearnerConfig
from superalign.training.algorithms.base import Algorithm
from superalign.training.base import Phase, Rows
from superalign.training.batch import ScoredResponse, TrainingBatch

MIN_SPREAD = 0.1  # of P(acceptable) over the answers to one query: less tells the critic's noise


class PolicyGradientSettings(LearnerConfig):
    """Policy gradients on the round's samples, rewarded by the critic or by a reward model."""

    iterations: int = Field(2, gt=0, description="phases in a round, each on fresh answers after the first")
    batch_size: int = Field(32, gt=0, description="answers in a batch")
    max_rows: int = Field(
        160, gt=0, description="most answers of a round; queries whose answers differ most come first"
    )
    clip: float = Field(0.2, gt=0.0, lt=1.0, description="policy ratios are clipped to 1 - clip .. 1 + clip")
    kl: float = Field(0.02, ge=0.0, description="weight of the KL penalty (nats) on leaving the policy that answered")
    reward: str | None = Field(
        None,
        description="run of recipe=reward_model whose model rewards answers in the critic's place; null: the critic",
    )


class PolicyPhase(Phase):
    """One phase of policy gradients; see `PolicyGradientSettings`.

    Attributes:
        temperature: at which answers were sampled: the policy that acts and learns is softmax(logits / temperature).
        base_kl: what grpo takes off an answer's reward for each nat that it strays from the base.
    """

    clip: float
    kl: float
    temperature: float = 1.0
    base_kl: float = 0.0


class PolicyGradient(Algorithm):
    """Learns from rewards of sampled answers."""

    Settings = PolicyGradientSettings
    Phase: ClassVar[type[PolicyPhase]] = PolicyPhase
    learns_from: ClassVar[Literal["pairs", "responses"]] = "responses"
    on_policy: ClassVar[bool] = True
    min_spread: ClassVar[float] = MIN_SPREAD

    def rows(self, batch: TrainingBatch) -> list[dict[str, Any]]:
        """Sampled answers by query with their recorded log-probabilities; queries that tell most come first.

        Answers that all look alike to the critic get one reward where they are compared within their query: that is no
        gradient, but anchors are learned beside every step, and a policy that hardly varies would take few without.
        """
        groups: dict[str, list[ScoredResponse]] = {}
        for scored in batch.responses:
            if scored.response.origin == "sample" and scored.response.token_ids:
                groups.setdefault(scored.response.query_id, []).append(scored)
        spread = {query: max(a.p for a in group) - min(a.p for a in group) for query, group in groups.items()}
        return [
            {
                "prompt_ids": list(a.response.prompt_ids),
                "completion_ids": list(a.response.token_ids),
                "logprobs": list(a.response.logprobs),
                "reward": a.p if spread[query] >= self.min_spread else fmean(b.p for b in groups[query]),
                "group": query,
            }
            for query in sorted(groups, key=lambda q: (-spread[q], q))
            for a in groups[query]
        ][: self.settings.max_rows]

    def anchors(self, batch: TrainingBatch) -> list[dict[str, Any]]:
        """Revisions that are believed acceptable.

        A policy that never refuses finds no refusal to be rewarded for by itself: its own revisions show it one.
        """
        return [
            {"prompt_ids": list(a.response.prompt_ids), "completion_ids": list(a.response.token_ids)}
            for a in batch.responses
            if a.response.origin == "revision" and a.w > 0 and a.p > 0.5
        ]

    @classmethod
    def check(cls, rows: Rows, role: str) -> None:
        """One log-probability was recorded for each token."""
        for index, row in enumerate(rows):
            if len(row["logprobs"]) != len(row["completion_ids"]):
                raise ValueError(
                    f"{role}: answer {index} has {len(row['completion_ids'])} tokens and {len(row['logprobs'])} "
                    "log-probabilities; record one for each"
                )


def mean_reward(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The figure that every phase of policy gradients tells of its rows."""
    import numpy as np

    return {"reward": float(np.mean([row["reward"] for row in rows]))}
