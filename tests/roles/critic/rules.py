"""Critics by a rule, such as a user without a model would bring."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field

from superalign.config.sections import CriticConfig
from superalign.roles.protocols import ACCEPTABLE, CriticBatch, Pair, Point, Score, Scorer, Services

LENGTHS = "tests.roles.critic.rules:Lengths"
DIVIDED = "tests.roles.critic.rules:Divided"
LEARNING = "tests.roles.critic.rules:Learning"
HARM_ALONE = "tests.roles.critic.rules:HarmAlone"


class Lengths:
    """Answers of more than `words` words are acceptable, and of two the longer one is better."""

    class Settings(CriticConfig):
        """With a threshold of its own."""

        words: int = Field(3, gt=0, description="words from which on an answer is acceptable")

    def __init__(self, settings: Settings, services: Services) -> None:
        self.words = settings.words
        self.asked: list[Point] = []

    def score_points(self, points: Sequence[Point]) -> list[Score]:
        self.asked += points
        return [Score({"long": 9.0, ACCEPTABLE: float(length(p.response) - self.words)}) for p in points]

    def score_pairs(self, pairs: Sequence[Pair]) -> list[Score]:
        return [
            Score({ACCEPTABLE: float(length(p.first) - length(p.second))}, length(p.first) == length(p.second))
            for p in pairs
        ]


class Divided(Lengths):
    """Has members with other thresholds."""

    def members(self) -> Iterator[Scorer]:
        for words in (self.words - 1, self.words + 1):
            yield Lengths(Lengths.Settings(words=words), None)  # type: ignore[arg-type]


class Learning(Lengths):
    """Keeps what it was given to learn from, and says of every answer how long it is."""

    def __init__(self, settings: Lengths.Settings, services: Services) -> None:
        super().__init__(settings, services)
        self.batches: list[CriticBatch] = []
        self.learned = 0

    def critique(
        self, points: Sequence[Point], acceptable: Sequence[bool], seed: int, faults: Sequence[str] = ()
    ) -> list[str]:
        words = ["yes" if fine else "no" for fine in acceptable]
        return [f'{word}. "{p.response}" is long.' for word, p in zip(words, points, strict=True)]

    def learn(self, batch: CriticBatch, seed: int) -> dict[str, float]:
        self.batches.append(batch)
        self.learned += len(batch.labelled)
        return {"learned": float(self.learned)}

    def state(self) -> dict[str, Any]:
        return {"learned": self.learned}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.learned = state["learned"]


class HarmAlone(Lengths):
    """Knows what is harmful, and nothing of what is acceptable."""

    def score_points(self, points: Sequence[Point]) -> list[Score]:
        return [Score({"harmful": 1.0, "useful": 0.0}) for _ in points]


def length(text: str) -> int:
    return len(text.split())
