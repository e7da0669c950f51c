"""What every attacker, critic and learner is told, and what the built-in attacker and critics are told beside it.

Plug-ins bring their own settings as subclasses of `AttackerConfig`, `CriticConfig` and `LearnerConfig`.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from superalign.config.sections.common import (
    BelowOne,
    Fraction,
    InnerFraction,
    NameList,
    NonNegative,
    NonNegativeFloat,
    Positive,
    PositiveFloat,
    Section,
)


class AttackerConfig(Section):
    """What every attacker is told."""

    kind: str = Field(
        "trained", description="attacker: trained, package.module:Name, path/to/file.py:Name or an entry point"
    )
    model: str | None = Field(None, description="the attacker's own model; null: model")
    seeds: Positive = Field(64, description="seed requests that are attacked in a round, half harmful, half benign")
    iterations: Positive = Field(
        1, description="times a round in which it attacks, is judged and learns in a phase of training"
    )
    intended_failures_only: bool = Field(
        False,
        description="whether only the failure that a seed is about pays (help with harm, refusal of a harmless "
        "request); else whatever the critic finds unacceptable",
    )
    families: NameList = Field(
        ("roleplay", "prefix_injection", "fiction", "splitting", "spelling", "code"),
        description="attack families of the static opponents, by name or reference",
    )


class TrainedAttackerConfig(AttackerConfig):
    """The attacker that rewrites seed requests and learns from what worked.

    Its opponents are mixed: attacks of now, past ones of the archive, and static ones. Static are plain seeds and seeds
    under the attack families, at least one of them and each seed at most once.
    """

    algorithm: Literal["dpo", "grpo", "ppo"] = Field(
        "dpo",
        description="dpo learns from the best and the worst rewriting of each seed, grpo and ppo from all of them",
    )
    candidates: Positive = Field(4, description="rewritings of each seed")
    turns: Positive = Field(
        1,
        description="how often it asks in one dialogue, seeing each answer; dpo learns the opening alone",
    )
    temperature: PositiveFloat = Field(
        None,
        validate_default=True,
        description="sampling temperature of rewritings; not given it is 0.5 for dpo, and 1 for grpo and ppo, which "
        "learn from all that the policy may say",
    )
    max_new_tokens: Positive = Field(96, description="longest rewriting, in tokens")
    current: Fraction = Field(0.5, description="share of a round's queries that are attacks of now")
    past: Fraction = Field(
        0.3, description="share of a round's queries that come from the archive of past attacks; the rest are static"
    )
    league: bool = Field(
        False,
        description="whether past opponents are the strongest of every cell of the archive, drawn the more often the "
        "more the learner still fails them; else any, by their first strength",
    )
    elites: Positive = Field(4, description="strongest attacks that are kept in each cell: risk category x tactic")
    faithful_by: Literal["auto", "letters", "content"] = Field(
        "auto",
        description="what a rewriting must keep of its seed: letters, its words letter by letter; content, the words "
        "that carry its meaning, in any form, also encoded; auto: letters on the testbed, else content",
    )
    faithful: Fraction | None = Field(
        None,
        description="share of it that must be kept; null: 0.95 of the letters, 0.3 of the content, which 93 % of "
        "people's rewritings of a request keep, and 3 % of rewritings of another",
    )
    fluency_floor: float = Field(
        -7.0,
        description="lowest mean log-probability (nats) of a rewriting's least likely fifth of tokens, to the base, "
        "that still earns a reward",
    )
    duplicate: Fraction = Field(0.98, description="cosine similarity from which on a rewriting counts as a repetition")
    novelty: bool = Field(True, description="whether being new pays; false: an ablation")
    target: Fraction | None = Field(
        None,
        description="attack success above which novelty weighs more and below which it weighs less "
        "(DiveR-CT, arXiv 2405.19026); null: its weight is fixed",
    )
    novelty_rate: PositiveFloat = Field(0.5, description="how fast the weight of novelty follows attacker.target")
    learning_rate: PositiveFloat = Field(5e-4, description="learning rate of Adam")
    epochs: Positive = Field(1, description="passes over the rows of a phase")
    batch_size: Positive = Field(16, description="rows in a batch: pairs of dpo, rewritings of grpo and ppo")
    beta: PositiveFloat = Field(0.1, description="dpo: strength of the pull towards the reference (arXiv 2305.18290)")
    max_pairs: Positive = Field(48, description="dpo: most pairs of a phase")
    clip: InnerFraction = Field(0.2, description="grpo, ppo: policy ratios are clipped to 1 - clip .. 1 + clip")
    kl: NonNegativeFloat = Field(
        0.01, description="grpo, ppo: what a rewriting pays for each nat that it strays from the base"
    )
    anchor_batch: NonNegative = Field(
        0,
        description="grpo, ppo: archived attacks that worked, drawn evenly over the cells, that are supervised beside "
        "each step, so that no tactic is unlearned",
    )
    anchor_weight: NonNegativeFloat = Field(1.0, description="what the loss of these (nats per token) is multiplied by")

    @field_validator("temperature", mode="before")
    @classmethod
    def _heat(cls, given: Any, info: ValidationInfo) -> Any:
        return (0.5 if info.data.get("algorithm") == "dpo" else 1.0) if given is None else given

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if self.current + self.past > 1:
            raise ValueError(
                f"attacker.current + attacker.past is {self.current + self.past:g}: together they may be 1 at most, "
                "the rest are static"
            )
        if self.algorithm == "grpo" and self.candidates < 2:
            raise ValueError("attacker=grpo compares rewritings of one seed: attacker.candidates must be >= 2")
        return self


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


class JudgeConfig(Section):
    """What the judge of the evaluation is told; plug-ins add their own."""


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
    revise: bool = Field(True, description="whether answers that the critic rejects are revised by its critiques")

    def rate(self, round: int) -> float:
        """The learning rate of a round: it falls, so that later rounds refine what earlier ones found."""
        return self.learning_rate / math.sqrt(round)
