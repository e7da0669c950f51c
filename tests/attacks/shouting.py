"""An attack family of a user: the request is shouted."""

from __future__ import annotations

import random
from pathlib import Path

from pydantic import Field

from superalign.config.sections import Section

BY_MODULE, BY_FILE = "tests.attacks.shouting:Shouting", f"{Path(__file__)}:Shouting"


class Shouting:
    """In capital letters, with so many marks."""

    class Settings(Section):
        """Its own."""

        marks: int = Field(1, gt=0, description="exclamation marks")

    def __init__(self, settings: Settings) -> None:
        self.marks = settings.marks

    def wrap(self, text: str, rng: random.Random) -> str:
        return text.upper() + "!" * self.marks
