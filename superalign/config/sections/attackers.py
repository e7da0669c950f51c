"""What every attacker is told, and what the built-in attackers are told beside it.

Plug-ins bring their own settings as subclasses of `AttackerConfig`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from superalign.config.sections.common import (
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
        "trained",
        description="attacker: trained, few_shot, file, package.module:Name, path/to/file.py:Name or an entry point",
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


class MixingAttackerConfig(AttackerConfig):
    """The built-in attackers.

    Their opponents are mixed: attacks of now, past ones of the archive, and static ones. Static are plain seeds and
    seeds under the attack families, at least one of them and each seed at most once.
    """

    candidates: Positive = Field(4, description="attacks of now on each seed")
    current: Fraction = Field(0.5, description="share of a round's queries that are attacks of now")
    past: Fraction = Field(
        0.3, description="share of a round's queries that come from the archive of past attacks; the rest are static"
    )
    league: bool = Field(
        False,
        description="whether past opponents are the strongest of every cell of the archive, drawn the more often the "
        "more the learner still fails them; else any, by their first strength",
    )
    known: str | None = Field(
        None,
        description="file, folder or hub:NAME of known attacks (columns as of attacker.attacks): the archive begins "
        "with as many of either kind; with expert.curated all their kinds teach the critic; null: none",
    )
    elites: Positive = Field(4, description="strongest attacks that are kept in each cell: risk category x tactic")

    def fresh(self, seeds: int) -> int:
        """How many of so many seeds are attacked anew in a round: one at least, unless `current` is 0."""
        return max(1, int(self.current * seeds + 0.5)) if self.current else 0

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if self.current + self.past > 1:
            raise ValueError(
                f"attacker.current + attacker.past is {self.current + self.past:g}: together they may be 1 at most, "
                "the rest are static"
            )
        return self


class FileAttackerConfig(MixingAttackerConfig):
    """Attacks that people or others have written, from a file."""

    attacks: str | None = Field(
        None,
        description="must be given: file, folder or hub:NAME of attacks: columns plain and adversarial, also kind, "
        "tactic and category; WildJailbreak as it is",
    )


class FewShotAttackerConfig(MixingAttackerConfig):
    """The attacker that rewrites seed requests as its prompts tell and show it, and never learns.

    Where its prompts have tactics, each two rewritings of a seed are told one, chosen by what the archive knows.
    """

    turns: Positive = Field(
        1,
        description="how often it asks in one dialogue, seeing each answer; dpo learns the opening alone",
    )
    exploration: NonNegativeFloat = Field(
        0.5,
        description="how much a tactic that was seldom tried in a risk category counts beside one that works there "
        "(c of UCB: mean strength + c sqrt(log N / n)); prompts without tactics leave the choice to the model",
    )
    temperature: PositiveFloat = Field(0.5, description="sampling temperature of rewritings")
    max_new_tokens: Positive = Field(96, description="longest rewriting, in tokens")
    faithful_by: Literal["auto", "letters", "content"] = Field(
        "auto",
        description="what a rewriting must keep of its seed: letters, its words letter by letter; content, the words "
        "that carry its meaning, in any form, also encoded; auto: letters on the testbed, else content",
    )
    faithful: Fraction | None = Field(
        None,
        description="share of it that must be kept; null: 0.95 of the letters, 0.3 of the content, which 94 % of "
        "people's rewritings of a request keep, 2 % of those of another, and 24 % of those of a similar one",
    )


class TrainedAttackerConfig(FewShotAttackerConfig):
    """The attacker that rewrites seed requests and learns from what worked."""

    algorithm: Literal["dpo", "grpo", "ppo"] = Field(
        "dpo",
        description="dpo learns from the best and the worst rewriting of each seed, grpo and ppo from all of them",
    )
    temperature: PositiveFloat = Field(
        None,
        validate_default=True,
        description="sampling temperature of rewritings; not given it is 0.5 for dpo, and 1 for grpo and ppo, which "
        "learn from all that the policy may say",
    )
    demonstrations: str | None = Field(
        None,
        description="file, folder or hub:NAME of requests and attacks on them (columns plain and adversarial, also "
        "tactic) that it learns from before round 1, supervised; null: none",
    )
    demonstration_rows: Positive = Field(400, description="most of these that are learned, drawn at random")
    demonstration_epochs: Positive = Field(1, description="passes over them")
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

    @model_validator(mode="before")
    @classmethod
    def _heat(cls, given: Any) -> Any:
        if not isinstance(given, Mapping) or given.get("temperature") is not None:
            return given
        return {**given, "temperature": 0.5 if given.get("algorithm", "dpo") == "dpo" else 1.0}

    @model_validator(mode="after")
    def _compared(self) -> Self:
        if self.algorithm == "grpo" and self.candidates < 2:
            raise ValueError("attacker=grpo compares rewritings of one seed: attacker.candidates must be >= 2")
        return self
