"""What single recipes can be told."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from superalign.config.sections.common import Fraction, NameList, NonNegative, Positive, PositiveFloat, Section


class W2SConfig(Section):
    """Weak-to-strong: what is trained `seeds` times for every task, supervisor, weak, strong and method.

    `supervisor`: `weak` or an error structure at the same accuracy. `labels`: transforms of the weak labels, joined by
    `+`, for instance `calibrate+filter:0.5`, before the method's own. `alpha`, `ramp`, `threshold`: of the confidence
    loss (arXiv 2312.09390 A.4). `epochs`, `learning_rate`, `batch_size`: of every model, null for what suits its kind;
    `micro_batch` rows are forwarded at a time (0: all). `validation`: share of the labelled rows for early stopping on
    agreement with the labels given (0: none; on NLP tasks the paper stops early). `max_new_tokens`: of completions.
    `via`: the models between weak and strong of method=bootstrap, else the task's own. `cache`: where weak labels and
    ceilings are kept, by content; null for a folder beside the runs. `bootstrap`: resamples of every interval.
    """

    seeds: Positive = 10
    supervisor: NameList = ("weak",)
    labels: str = ""
    alpha: Fraction = 0.75
    ramp: Fraction = 0.2
    threshold: Literal["batch", "streaming"] = "batch"
    epochs: Positive | None = None
    learning_rate: PositiveFloat | None = None
    batch_size: Positive | None = None
    micro_batch: NonNegative = 0
    validation: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    max_new_tokens: Positive = 64
    via: NameList = ()
    cache: str | None = None
    bootstrap: Positive = 1000


class RedteamConfig(Section):
    """recipe=redteam: `target` is a run whose last learner is attacked; null attacks the model itself."""

    target: str | None = None


class RefineConfig(Section):
    """recipe=self_refine: answers to `queries` requests a round are criticised, revised, and learned by `method`.

    `constitution`: a text file with a principle on each line, one of which a critique goes by; null for
    conf/constitution.txt.
    """

    constitution: str | None = None
    method: Literal["sft", "dpo"] = "dpo"
    queries: Positive = 128


class RewardConfig(Section):
    """recipe=reward_model: preferences come from `data=` (columns prompt, chosen, rejected) or from the testbed.

    Of the testbed `pairs` are made, and `flips` of those trained on have the wrong answer as the chosen one. A round is
    one pass over the training pairs. `center` keeps rewards near 0 (arXiv 2312.09244).
    """

    pairs: Positive = 800
    flips: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.1
    learning_rate: PositiveFloat = 3e-3
    batch_size: Positive = 16
    center: float = Field(0.01, ge=0.0)
