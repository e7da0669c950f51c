"""What single recipes can be told."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from superalign.config.sections.common import (
    BelowOne,
    Fraction,
    NameList,
    NoiseRate,
    NonNegative,
    NonNegativeFloat,
    Positive,
    PositiveFloat,
    Section,
)


class W2SConfig(Section):
    """recipe=weak_to_strong: how students are trained on a weaker supervisor's labels."""

    seeds: Positive = Field(
        10, description="repetitions of every combination of task, supervisor, weak, strong and method"
    )
    supervisor: NameList = Field(
        ("weak",), description="who labels: weak is the weak model, other names are error structures of equal accuracy"
    )
    labels: str = Field(
        "",
        description="transforms of the weak labels before the method's own, joined by +, as calibrate+filter:0.5; "
        "empty: none",
    )
    alpha: Fraction = Field(0.75, description="largest weight of the auxiliary confidence loss (arXiv 2312.09390 A.4)")
    ramp: Fraction = Field(0.2, description="share of the training over which that weight rises from 0")
    threshold: Literal["batch", "streaming"] = Field(
        "batch",
        description="predictions whose quantile is the threshold of that loss: of each batch, or the last ones seen",
    )
    epochs: Positive | None = Field(
        None, description="passes over the labels, of every model; null: what suits the kind of model"
    )
    learning_rate: PositiveFloat | None = Field(
        None, description="learning rate of every model; null: what suits the kind of model"
    )
    batch_size: Positive | None = Field(
        None, description="rows in a batch, of every model; null: what suits the kind of model"
    )
    micro_batch: NonNegative = Field(0, description="rows that are forwarded at a time; 0: the whole batch")
    validation: BelowOne = Field(
        0.0,
        description="share of the labelled rows that early stopping watches, by agreement with the labels given; "
        "0: no early stopping",
    )
    max_new_tokens: Positive = Field(64, description="longest completion of a generation task, in tokens")
    via: NameList = Field(
        (), description="models between weak and strong of method=bootstrap, in order; empty: those of the task"
    )
    cache: str | None = Field(
        None, description="folder of weak labels and ceilings, kept by content; null: one beside the runs"
    )
    bootstrap: Positive = Field(1000, description="resamples behind every interval")


class RedteamConfig(Section):
    """recipe=redteam: whom the attacker is trained against."""

    target: str | None = Field(None, description="run whose last learner is attacked; null: the model itself")


class RefineConfig(Section):
    """recipe=self_refine: a model criticises, revises and learns from its own answers."""

    constitution: str | None = Field(
        None,
        description="text file with a principle on each line, one of which each critique goes by; "
        "null: the principles of the policy, or where it has none the file that ships (conf/constitution.txt)",
    )
    method: Literal["sft", "dpo"] = Field(
        "dpo", description="how revisions are learned: imitated, or preferred to the first answer"
    )
    queries: Positive = Field(128, description="requests that are answered, criticised and revised in a round")


class RewardConfig(Section):
    """recipe=reward_model: a reward model from preferences in `data=` (prompt, chosen, rejected) or of the testbed."""

    pairs: Positive = Field(800, description="preferences that are made of the testbed")
    flips: NoiseRate = Field(
        0.1, description="share of the testbed's training preferences whose worse answer counts as the chosen one"
    )
    learning_rate: PositiveFloat = Field(3e-3, description="learning rate of Adam")
    batch_size: Positive = Field(16, description="preferences in a batch; a round is one pass over all of them")
    center: NonNegativeFloat = Field(
        0.01, description="weight of the loss that keeps rewards near 0 (arXiv 2312.09244); 0: none"
    )
