"""Online DPO: on the round's pairs, then on fresh answers that the critic compares at once (arXiv 2402.04792)."""

from __future__ import annotations

from pydantic import Field

from superalign.training.algorithms.dpo import DPO, DPOSettings


class OnlineDPOSettings(DPOSettings):
    """DPO in several short phases a round."""

    iterations: int = Field(2, gt=0, description="phases in a round, each on fresh answers after the first")
    epochs: int = Field(1, gt=0, description="passes over the preferences of a phase")


class OnlineDPO(DPO):
    """DPO whose pairs are answers of the policy as it is."""

    Settings = OnlineDPOSettings
