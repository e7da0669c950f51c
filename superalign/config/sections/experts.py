"""What experts are asked, and how."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from superalign.config.sections.common import (
    Fraction,
    NoiseRate,
    NonNegative,
    NonNegativeFloat,
    Positive,
    PositiveFloat,
    Section,
)


class ExpertConfig(Section):
    """The experts: a few labels, for the items where they are worth most."""

    budget: NonNegative = Field(48, description="hard cap on labels per round; 0: nobody is asked")
    source: Literal["simulated", "queue"] = Field(
        "simulated",
        description="simulated: the testbed's oracle answers, or elsewhere curated labels that are held back; queue: "
        "people do (superalign experts serve RUN)",
    )
    curated: str | None = Field(
        None,
        description="answers that people have judged already, by dimensions of the policy: a file, a folder, "
        "hub:OWNER/NAME, or demo; they teach from before round 1 on and cost no budget; null: none",
    )
    replayed_share: Fraction = Field(
        0.5,
        description="simulated, beyond the testbed: share of the curated labels that is held back, and given as far as "
        "the budget goes when their answers are escalated",
    )
    error_rate: NoiseRate = Field(0.05, description="share of wrong answers of a simulated expert")
    store: str | None = Field(
        None, description="URL of a database that several runs may share; null: a file in the run folder"
    )
    policy: Literal["default", "random", "uncertainty", "none", "all"] = Field(
        "default",
        description="how items are chosen: by uncertainty, severity and novelty with known chances (default), at "
        "random, the least certain alone (uncertainty), none, or all, which needs a budget that holds every item",
    )
    votes: Positive = Field(1, description="annotators who answer each item")
    wait: bool = Field(False, description="whether training waits for people")
    wait_timeout_s: PositiveFloat = Field(86_400.0, description="longest wait for people in a round, in seconds")
    uniform_share: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.3, description="share of the draw that is uniform over all items, so that every item can be seen"
    )
    forced_share: Fraction = Field(
        0.2,
        description="largest share of the budget that goes to items where critic and safety conflict; these come first",
    )
    double_share: Fraction = Field(
        0.1, description="share of the items that a further annotator answers, for agreement"
    )
    blind_share: Fraction = Field(
        0.5, description="people: share of the items that hide the critique until they are answered"
    )
    gold_share: Fraction = Field(0.03, description="people: share of the budget that are gold items, of known answer")
    lease_s: PositiveFloat = Field(
        600.0, description="people: seconds for which an item is reserved for whoever took it"
    )
    notify_webhook: str | None = Field(None, description="people: URL that is called when items wait; null: none")
    notify_command: str | None = Field(None, description="people: command that is run when items wait; null: none")
    hourly_rate: NonNegativeFloat = Field(
        0.0, description="people: price of an hour of their time, in your currency; 0: not told"
    )

    @model_validator(mode="after")
    def _asked(self) -> Self:
        if 0 < self.budget < self.votes:
            raise ValueError(
                f"expert.votes={self.votes} answers to one item are more than expert.budget={self.budget} labels: "
                "nobody would be asked, set expert.votes lower or the budget to 0"
            )
        left = self.budget - self.votes * round(self.gold_share * self.budget / self.votes)
        if self.source == "queue" and self.budget and left < self.votes:
            raise ValueError(
                f"expert.gold_share={self.gold_share:g} leaves nothing of expert.budget={self.budget} for items that "
                "are not gold items: nobody would be asked, set it lower"
            )
        return self
