"""What every critic, judge and learner is told, and what the built-in critics are told beside it.

Plug-ins bring their own settings as subclasses of `CriticConfig`, `JudgeConfig` and `LearnerConfig`.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from superalign.config.sections.common import (
    BelowOne,
    Fraction,
    InnerFraction,
    NonNegative,
    NonNegativeFloat,
    Positive,
    PositiveFloat,
    Section,
)


class CriticConfig(Section):
    """What every critic is told."""

    kind: str = Field(
        "generative",
        description="critic: generative, classifier, debate, consultancy, package.module:Name, path/to/file.py:Name "
        "or an entry point",
    )
    model: str | None = Field(None, description="the critic's own model; null: model")
    verdicts: Literal["model", "shuffled"] = Field(
        "model",
        description="shuffled: its verdicts are permuted within a round, the control that feedback matters",
    )
    abstain: Fraction = Field(0.1, description="distance of P(acceptable) from 1/2 below which a verdict abstains")
    max_new_tokens: Positive = Field(48, description="longest critique, in tokens")
    calibration_share: Fraction = Field(
        0.3, description="share of the expert labels that is never trained on, for calibration"
    )
    calibration_labels: Positive = Field(384, description="newest labels of that share that calibrate")

    @property
    def trains_adapter(self) -> bool:
        """Whether the critic learns as an adapter, which guards can take back."""
        return False


class AdapterCriticConfig(CriticConfig):
    """The built-in critics.

    After verdicts are learned, `stages=2` trains critiques by what the learner's revision gains over one that reads a
    placebo.
    """

    learning_rate: PositiveFloat = Field(5e-4, description="learning rate of Adam while verdicts are learned")
    epochs: Positive = Field(3, description="passes over the new expert labels of a round")
    batch_size: Positive = Field(16, description="verdicts in a batch")
    synthetic_flaw_share: BelowOne = Field(
        0.3, description="share of synthetic flaws, put into good answers, among what teaches verdicts"
    )
    subtle_flaws: bool = Field(
        False, description="whether single sentences of other answers are among the synthetic flaws"
    )
    retention_rows: NonNegative = Field(
        48, description="verdicts of the initial critic that are rehearsed in a round, so that it does not forget"
    )
    replayed: NonNegative = Field(
        384, description="most earlier labels, chosen at random, that are learned once more in a round"
    )
    stages: Literal[1, 2] = Field(1, description="1: verdicts are learned; 2: then critiques, too")
    critique_algorithm: Literal["dpo", "grpo"] = Field("dpo", description="stages=2: how critiques are reinforced")
    critique_learning_rate: PositiveFloat = Field(2e-3, description="stages=2: learning rate of Adam for critiques")
    critique_cases: Positive = Field(96, description="stages=2: most responses that are criticised in a round")
    critiques: Annotated[int, Field(ge=2)] = Field(4, description="stages=2: critiques sampled of each response")
    critique_tokens: Positive = Field(32, description="stages=2: length in tokens above which a critique is penalised")
    placebo: Literal["other", "contentless"] = Field(
        "contentless",
        description="stages=2: what a critique is compared with: words about nothing, or the critique of a response to "
        "another request",
    )
    evaluator: Literal["judge", "critic"] = Field(
        "judge", description="stages=2: who scores revisions: the critic before any training (judge), or as it is now"
    )
    variance: Literal["views", "ensemble", "dropout"] = Field(
        "views",
        description="uncertainty that escalates to experts: both orders of a pair (views, which cost nothing), "
        "paraphrased questions (ensemble), or adapters with some ranks left out (dropout)",
    )
    members: Positive = Field(4, description="members of variance=ensemble or dropout")
    dropout: InnerFraction = Field(
        0.2, description="share of an adapter's ranks that each member of dropout leaves out"
    )

    @property
    def trains_adapter(self) -> bool:
        """All but the classifier's head."""
        return self.kind != "classifier"

    @model_validator(mode="after")
    def _wordless(self) -> Self:
        if self.kind == "classifier" and self.stages == 2:
            raise ValueError("critic=classifier writes no critiques that a second stage could train: critic.stages=1")
        if self.kind == "classifier" and self.variance == "dropout":
            raise ValueError("critic=classifier has no adapter to drop ranks of: use critic.variance=ensemble")
        return self


Depth = Annotated[float, Field(gt=0.0, le=1.0)]


class ProbeSettings(Section):
    """Heads on hidden states."""

    layers: tuple[Depth, ...] = Field(
        (0.4, 0.6, 0.8), min_length=1, description="layers that are read, as shares of the model's depth"
    )
    read_tokens: Positive | None = Field(
        None,
        description="most tokens of an answer that are read; null: learner.max_new_tokens, so that longer answers that "
        "people judged are read as far as the learner's own go",
    )
    head: Literal["linear", "mlp"] = Field(
        "linear", description="linear: logistic regression; mlp: with one hidden layer of 32 units"
    )


class ProbeCriticConfig(CriticConfig, ProbeSettings):
    """The probe critic: heads on hidden states of a frozen model, one for each dimension of the policy."""

    members: NonNegative = Field(
        4, description="further heads on resamples of the requests, whose spread escalates to experts"
    )
    requests: NonNegative = Field(
        1500, description="newest requests whose seeds' kinds teach dimensions of the request; 0: none"
    )
    synthetic_flaws: NonNegative = Field(96, description="answers in which flaws are planted in a round")
    subtle_flaws: bool = Field(False, description="whether single sentences of other answers are among these flaws")


class LoraClassifierConfig(ProbeCriticConfig):
    """The classifying critic: its adapter learns the dimensions, heads read its last layer."""

    learning_rate: PositiveFloat = Field(3e-4, description="learning rate of Adam")
    epochs: Positive = Field(2, description="passes over what teaches the dimensions")
    batch_size: Positive = Field(16, description="answers in a batch")


class JudgeConfig(Section):
    """What the judge of the evaluation is told; plug-ins add their own."""


class ProbeJudgeConfig(JudgeConfig, ProbeSettings):
    """The probe judge: another model or other labels than the critic that is trained."""

    model: str | None = Field(None, description="the model whose hidden states it reads; null: critic.model")
    labels: str | None = Field(
        None,
        description="file of answers with people's verdicts by dimension that teach it, or demo; never those that "
        "teach the critic (expert.curated)",
    )
    policy: str = Field(
        "safety", description="policy whose dimensions it tells, whatever the critic is asked: a name or a YAML file"
    )
    held_share: Fraction = Field(
        0.4,
        description="share of these, by prompt, on which it is checked instead, where evaluation.labels names no "
        "other file",
    )


class LearnerConfig(Section):
    """What every learner algorithm is told; each adds its own."""

    algorithm: str = Field(
        "dpo",
        description="learner algorithm: a built-in name, package.module:Name, path/to/file.py:Name or an entry point",
    )
    samples: Positive = Field(4, description="answers that are sampled to each query")
    temperature: PositiveFloat = Field(1.0, description="sampling temperature of answers")
    max_new_tokens: Positive = Field(64, description="longest answer, in tokens")
    learning_rate: PositiveFloat = Field(
        4.5e-4, description="learning rate of Adam in round 1; it falls as 1 / sqrt(round)"
    )
    epochs: Positive = Field(2, description="passes over the rows of a phase")
    batch_size: Positive = Field(8, description="rows in a batch, of all learner workers together")
    iterations: Positive = Field(
        1, description="phases in a round: after the first the learner answers anew and is judged again"
    )
    anchors: Positive = Field(
        480, description="newest answers of its own that the critic accepts, kept to be supervised"
    )
    anchor_batch: NonNegative = Field(24, description="anchors that are supervised beside each step; 0: none")
    anchor_weight: NonNegativeFloat = Field(1.0, description="what their loss (nats per token) is multiplied by")
    retained: NonNegative = Field(
        0,
        description="harmless training requests to which the first learner's own answers, sampled at temperature 1, "
        "are among the anchors of every round, so that it keeps what it could do; 0: none",
    )
    retained_weight: NonNegativeFloat = Field(
        10.0,
        description="what half the squared change of a retained answer's token, in nats, is multiplied by, where other "
        "anchors have their negative log-likelihood",
    )
    revise: bool = Field(True, description="whether answers that the critic rejects are revised by its critiques")
    revision_temperature: NonNegativeFloat = Field(
        0.0,
        description="sampling temperature of revisions and contrasts; as that of answers, preferences do not teach to "
        "prefer likely words to sampled ones",
    )
    contrast: Fraction = Field(
        0.0,
        description="share of the queries with accepted answers alone to which the learner also says what it would if "
        "the request were not what it is (a refusal of a harmless one), to be told from the accepted answer",
    )
    balance: bool = Field(
        False,
        description="whether preferences on harmful and on harmless requests weigh the same in all, so that declining "
        "is not learned faster than helping, or helping faster than declining",
    )

    def rate(self, round: int) -> float:
        """The learning rate of a round: it falls, so that later rounds refine what earlier ones found."""
        return self.learning_rate / math.sqrt(round)
