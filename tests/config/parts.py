"""Plug-ins that tests write to files."""

from __future__ import annotations

from pathlib import Path

LEARNER = '''
from pydantic import Field
from superalign.config.sections import PositiveFloat
from superalign.training.algorithms.dpo import DPO, DPOSettings

class MineSettings(DPOSettings):
    """Mine."""
    tau: PositiveFloat = Field(0.3, description="how mine it is")
    note: str = Field("", description="text")

class Mine(DPO):
    Settings = MineSettings
'''
CRITIC = '''
from pydantic import Field
from superalign.config.sections import CriticConfig
from superalign.roles.protocols import Score

class LengthCritic:
    class Settings(CriticConfig):
        """By length."""
        words: int = Field(20, gt=0, description="words of a good answer")

    def __init__(self, settings, services):
        self.settings = settings

    def score_points(self, points):
        return [Score({"acceptable": 0.0}) for _ in points]

    def score_pairs(self, pairs):
        return [Score({"acceptable": 0.0}) for _ in pairs]
'''
ATTACKER = '''
from superalign.config.sections import AttackerConfig

class Fixed:
    class Settings(AttackerConfig):
        """Fixed."""
        strength: int = 1

    def __init__(self, settings, services): ...
    def attack(self, seeds, round, seed): ...
    def rewrite(self, seeds, round, seed): ...
    def learn(self, feedback, seed): ...
    def state(self): ...
    def restore(self, state): ...
'''
JUDGE = '''
from superalign.config.sections import JudgeConfig

class Strict:
    name, exact = "strict", False

    class Settings(JudgeConfig):
        """Strict."""
        threshold: float = 0.5

    def __init__(self, settings, services): ...
    def outcomes(self, cases): ...
'''
FAMILY = '''
from pydantic import Field
from superalign.config.sections import Section

class Shout:
    class Settings(Section):
        """Shouting."""
        marks: int = Field(1, ge=0, description="exclamation marks")

    def __init__(self, settings): ...
    def wrap(self, text, rng): ...

class Whisper:
    def wrap(self, text, rng): ...
'''


def written(folder: Path, name: str, text: str) -> str:
    """The path of a file with this text."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)
