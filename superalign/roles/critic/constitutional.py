"""Written principles, and critiques that go by one of them (Constitutional AI, arXiv 2212.08073)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from superalign.config.paths import conf_dir
from superalign.config.schema import Config
from superalign.config.texts import policy_of, prompts_of
from superalign.errors import UserError
from superalign.generation.base import GenerationRequest, Generator
from superalign.models import load_chat
from superalign.records import Critique
from superalign.roles.critic.critiques import critique_of
from superalign.roles.critic.yes_no import sigmoid, yes_no_log_odds
from superalign.roles.protocols import Case


@dataclass(frozen=True)
class Constitution:
    """Principles by which answers are criticised."""

    principles: tuple[str, ...]

    @classmethod
    def of(cls, config: Config) -> Constitution:
        """The principles of `refine.constitution`, else those of the policy, else those that ship.

        Raises:
            UserError: as `read`.
        """
        principles = policy_of(config).principles
        return cls.read(config.refine.constitution) if config.refine.constitution or not principles else cls(principles)

    @classmethod
    def read(cls, path: str | None) -> Constitution:
        """The principles of a text file, one on each line; lines that begin with # are comments.

        Raises:
            UserError: there is no such file, it is not text, or it has no principle.
        """
        source = Path(path).expanduser() if path else conf_dir() / "constitution.txt"
        try:
            lines = source.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"refine.constitution={source} cannot be read: {error}") from None
        found = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
        if not found:
            raise UserError(f"refine.constitution={source} has no principle: write one on each line")
        return cls(found)

    def draw(self, cases: Sequence[Case], seed: int) -> list[str]:
        """A principle for each case."""
        rng = random.Random(f"principles/{seed}")
        return [rng.choice(self.principles) for _ in cases]


class SelfCritic:
    """The model as it was before any training, asked whether an answer keeps a principle, and why not."""

    def __init__(self, config: Config, generator: Generator, role: str = "judge") -> None:
        """Ask by a role whose adapter is never trained."""
        self.generator, self.role, self.max_new_tokens = generator, role, config.critic.max_new_tokens
        self.chat, self.prompts = load_chat(config.model_of("critic")), prompts_of(config)

    def judge(self, cases: Sequence[Case], principles: Sequence[str]) -> list[float]:
        """P(the answer keeps its principle)."""
        yes, no = (self.chat.encode(word)[0] for word in self.prompts.acceptable)
        asked = [self._prompt(*case) for case in zip(cases, principles, strict=True)]
        return [sigmoid(odds) for odds in yes_no_log_odds(self.generator, self.role, asked, (yes, no))]

    def critique(self, cases: Sequence[Case], principles: Sequence[str], seed: int) -> list[Critique]:
        """Why each answer does not keep its principle."""
        word = self.prompts.acceptable[1]
        asked = [(*self._prompt(*case), *self.chat.encode(word)) for case in zip(cases, principles, strict=True)]
        requests = [GenerationRequest(self.role, ids, self.max_new_tokens, 0.0) for ids in asked]
        said = self.generator.generate(requests, seed)
        return [critique_of(r, word + text.text, text.version) for (_, r), text in zip(cases, said, strict=True)]

    def _prompt(self, case: Case, principle: str) -> tuple[int, ...]:
        query, response = case
        first, *others = self.prompts.judge_messages(query.text, response.text)
        principled = [{**first, "content": f"{first['content']} {principle}"}, *others]
        return tuple(self.chat.prompt_ids(principled, self.max_new_tokens))
