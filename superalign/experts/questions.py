"""What experts are asked of an answer where the policy has several dimensions, and what that composes to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final, NamedTuple, Self

from superalign.prompts.policy import Policy
from superalign.records import JudgementKind

ANSWER: Final = "answer"
"""The name of the one question about a whole item."""
QUESTIONS: Final = {"point": "Is this answer acceptable?", "pair": "Which answer is better?"}
WORDS: Final = {
    "point": {"accept": "acceptable", "refuse": "not acceptable", "tie": "cannot tell"},
    "pair": {"a": "A is better", "b": "B is better", "tie": "equally good"},
}
SAID: Final[dict[str, float]] = {"yes": 1.0, "no": 0.0, "tie": 0.5}
"""What can be answered to a question, with P(yes) of each; `tie`: cannot say."""


def unwrapped(text: str) -> str:
    """A text whose paragraphs and points were broken into lines of one width, each in one line again."""
    return re.sub(r"(?<!\n)\n(?!\n|[ \t]*(?:\d+\.|[-*])[ \t])[ \t]*", " ", text.strip())


class Asked(NamedTuple):
    """One question as tools ask it: its name there, its text, and its answers with their words."""

    name: str
    text: str
    answers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Questions:
    """The questions of a policy with several dimensions, in its order.

    Answers are P(yes) by dimension: 1, 0, or 0.5 where nobody could say. A question that can no longer change the
    verdict is not asked: whether an answer is of use does not matter once it helps with harm.
    """

    policy: Policy

    @classmethod
    def of(cls, policy: Policy | None) -> Self | None:
        """None where experts are asked about the whole alone: by a policy of one question, or by no known one."""
        return None if policy is None or policy.single else cls(policy)

    @property
    def names(self) -> tuple[str, ...]:
        """The dimensions."""
        return tuple(self.policy.dimensions)

    def words(self, name: str) -> dict[str, str]:
        """How yes, no and cannot say are worded."""
        dimension = self.policy.dimensions[name]
        return {"yes": dimension.if_yes, "no": dimension.if_no, "tie": "cannot say"}

    def column(self, name: str) -> str:
        """The name of a question in tools that take small letters, digits, hyphens and underlines alone."""
        return f"is_{re.sub('[^a-z0-9_-]', '_', name.lower())}"

    def read(self, said: Mapping[str, object]) -> dict[str, float]:
        """Answers in words, those of a question or yes, no and tie; empty ones are left out.

        Raises:
            ValueError: there is no such question, or a word means none of its answers.
        """
        found = {}
        for name, word in said.items():
            if word is None or word == "":
                continue
            if name not in self.names:
                raise ValueError(f"no question {name!r}; they are {', '.join(self.names)}")
            wording = self.words(name)
            meant = {each.lower(): key for key, each in wording.items()} | {key: key for key in SAID}
            if (key := meant.get(str(word).strip().lower())) is None:
                raise ValueError(f"answer {word!r} to {name!r} should be one of {', '.join(wording.values())}")
            found[name] = SAID[key]
        return found

    def verdict(self, answers: Mapping[str, float]) -> float:
        """1 or 0 where the answers decide it, whatever the others would be; else 0.5."""
        found = {self.policy.compose(each) for each in self._completed(answers)}
        return found.pop() if len(found) == 1 else 0.5

    def next(self, answers: Mapping[str, float]) -> str | None:
        """The first question without an answer that can still change the verdict; None if there is none."""
        return next((name for name in self.names if name not in answers and self._matters(name, answers)), None)

    def fault(self, answers: Mapping[str, float], value: float) -> str | None:
        """Why these answers cannot go with this verdict on the whole, or None."""
        for name, p in answers.items():
            if name not in self.names:
                return f"no question {name!r}; they are {', '.join(self.names)}"
            if p not in SAID.values():
                return f"an answer to {name!r} is 1, 0 or 0.5, not {p!r}"
        found = self.verdict(answers)
        return None if found in (0.5, value) else f"the answers make the verdict {found:g}, not {value:g}"

    def _matters(self, name: str, answers: Mapping[str, float]) -> bool:
        others = list(self._completed({**answers, name: 0.0}))
        return any(self.policy.compose(each) != self.policy.compose({**each, name: 1.0}) for each in others)

    def _completed(self, answers: Mapping[str, float]) -> Iterator[dict[str, float]]:
        """Every way in which the questions that nobody could answer, or was asked, may come out."""
        unknown = [name for name in self.names if answers.get(name, 0.5) == 0.5]
        for ways in product((0.0, 1.0), repeat=len(unknown)):
            yield {name: answers.get(name, 0.5) for name in self.names} | dict(zip(unknown, ways, strict=True))


def asked(kind: JudgementKind, questions: Questions | None) -> list[Asked]:
    """What tools ask about items of a kind: of a pair and by a policy of one question the whole, else each question."""
    if kind == "pair" or questions is None:
        return [Asked(ANSWER, QUESTIONS[kind], WORDS[kind])]
    dimensions = questions.policy.dimensions
    return [Asked(questions.column(name), dimensions[name].question, questions.words(name)) for name in questions.names]
