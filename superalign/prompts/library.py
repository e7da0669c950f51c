"""What every role is asked, as one set of prompts that a file holds: `prompts=testbed|chat|FILE.yaml`."""

from __future__ import annotations

import re
from typing import ClassVar, Self

from pydantic import Field, model_validator

from superalign.errors import UserError
from superalign.prompts import multi_turn
from superalign.prompts.asks import Ask, Data, Demonstration, Messages, fill
from superalign.prompts.policy import ACCEPTABLE

DEFAULT = "default"
ACCEPTED = "accepted"
FREE = "free"  # the tactic of a rewriting that names none

_QUOTE = re.compile(r'"([^"]+)"')


class AttackAsk(Ask):
    """Rewrite a request; `{tactic}` and `{description}` are of the tactic that was chosen."""

    FIELDS: ClassVar = frozenset({"request", "tactic", "description"})
    NEEDED: ClassVar = frozenset({"request"})


class RefineAsk(Ask):
    """Rewrite it again, in view of the last rewriting, the answer and what that was worth (`worth`)."""

    FIELDS: ClassVar = frozenset({"request", "tactic", "description", "query", "answer", "worth"})
    NEEDED: ClassVar = frozenset({"request", "query", "answer"})

    worth: str = Field("", description="how a score of 1 to 10 is told: what {worth} says, with {score}")


class JudgeAsk(Ask):
    """One dimension of an answer; `{question}`, `{yes}` and `{no}` are those of the policy."""

    FIELDS: ClassVar = frozenset({"query", "answer", "question", "yes", "no"})
    NEEDED: ClassVar = frozenset({"query"})

    words: tuple[str, str] = Field(("yes", "no"), description="the first words of the two verdicts")


class CompareAsk(Ask):
    """Which of two answers is better."""

    FIELDS: ClassVar = frozenset({"query", "first", "second"})
    NEEDED: ClassVar = FIELDS

    words: tuple[str, str] = Field(("first", "second"), description="the first words of the two verdicts")


class CritiqueAsk(Ask):
    """Why an answer is acceptable or not; `{word}` is the verdict's word, `{fault}` what the policy says of it."""

    FIELDS: ClassVar = frozenset({"query", "answer", "word", "fault"})
    NEEDED: ClassVar = frozenset({"query", "answer"})


class ReviseAsk(Ask):
    """A better answer.

    In a `dialogue` the question follows the request and the answer, which are turns before it; else the question says
    what it needs of them.
    """

    FIELDS: ClassVar = frozenset({"query", "answer", "critique"})

    dialogue: bool = Field(False, description="whether request and answer are turns before the question")

    @model_validator(mode="after")
    def _asked(self) -> Self:
        if not self.dialogue and "{query}" not in self.user:
            raise ValueError("does not say {query}, so the model would not be shown it (or set dialogue: true)")
        return self


class Tactic(Data):
    """A way of attacking: what it is, and examples of it."""

    description: str
    demonstrations: tuple[Demonstration, ...] = ()


class Prompts(Data):
    """What every role is asked, and how its words are read back."""

    name: str
    attack: AttackAsk
    refine: RefineAsk
    tactics: dict[str, Tactic] = Field({}, description="ways of attacking that the attacker is told; none: it chooses")
    judge: dict[str, JudgeAsk] = Field(..., description="by dimension of the policy; `default` is for the others")
    compare: CompareAsk
    critique: dict[str, CritiqueAsk] = Field(
        ..., description="by fault of the policy; `accepted` is for none, `default` for the others"
    )
    revise: dict[str, ReviseAsk] = Field(..., description="by fault of the policy; `default` is for the others")

    @model_validator(mode="after")
    def _defaults(self) -> Self:
        for part in ("critique", "revise"):
            if DEFAULT not in getattr(self, part):
                raise ValueError(f"{part} has no {DEFAULT!r}, which is for every fault without its own")
        return self

    def attack_messages(self, request: str, tactic: str = "") -> Messages:
        """Ask the attacker for an adversarial rewriting of a request, by one of the tactics where there are any."""
        return self._by(tactic, self.attack).messages(request=request, **self._told(tactic))

    def refine_messages(
        self, request: str, query: str, answer: str, score: int | None = None, tactic: str = ""
    ) -> Messages:
        """Ask for another rewriting, in view of the last one, the answer and how well it worked (1 to 10)."""
        worth = "" if score is None else fill(self.refine.worth, {"score": str(score)})
        told = {"request": request, "query": query, "answer": answer, "worth": worth, **self._told(tactic)}
        return self._by(tactic, self.refine).messages(**told)

    def read_attack(self, answer: str) -> tuple[str, str] | None:
        """(tactic, query) of an attacker's output; the tactic is `free` if none is named; None: it cannot be read."""
        found = self.attack.read(answer)
        return None if found is None else (found.get("tactic", FREE), found["text"])

    def judge_ask(self, dimension: str = ACCEPTABLE) -> JudgeAsk:
        """What is asked about a dimension.

        Raises:
            UserError: these prompts ask nothing about it.
        """
        found = self.judge.get(dimension) or self.judge.get(DEFAULT)
        if found is None:
            raise UserError(
                f"prompts={self.name} ask nothing about {dimension!r}, a dimension of the policy: give them "
                f"judge.{dimension} or judge.{DEFAULT}, or use critic=probe or policy=acceptable"
            )
        return found

    def judge_messages(
        self, query: str, answer: str, dimension: str = ACCEPTABLE, question: str = "", yes: str = "yes", no: str = "no"
    ) -> Messages:
        """Ask the critic about one dimension of an answer; the verdict is the first word of what it says."""
        told = {"query": query, "answer": answer, "question": question, "yes": yes, "no": no}
        return self.judge_ask(dimension).messages(**told)

    def compare_messages(self, query: str, first: str, second: str) -> Messages:
        """Ask the critic which of two answers is better; the verdict is its first word."""
        return self.compare.messages(query=query, first=first, second=second)

    @property
    def acceptable(self) -> tuple[str, str]:
        """The words of the verdict whether an answer is acceptable."""
        return self.judge_ask().words

    def critique_ask(self, fault: str = "") -> CritiqueAsk:
        """How a fault is criticised, or an answer without any."""
        return self.critique.get(fault or ACCEPTED) or self.critique[DEFAULT]

    def revise_messages(self, query: str, answer: str, critique: str, fault: str = "") -> Messages:
        """Ask the learner to mend its own answer."""
        ask = self.revise_ask(fault)
        told = ask.messages(query=query, answer=answer, critique=critique)
        if not ask.dialogue:
            return told
        return [*told[:-1], *respond(query), {"role": "assistant", "content": answer}, told[-1]]

    def revise_ask(self, fault: str = "") -> ReviseAsk:
        """How an answer with a fault is revised."""
        return self.revise.get(fault) or self.revise[DEFAULT]

    def _told(self, tactic: str) -> dict[str, str]:
        chosen = self.tactics.get(tactic)
        return {"tactic": tactic.replace("_", " "), "description": chosen.description if chosen else ""}

    def _by(self, tactic: str, ask: AttackAsk | RefineAsk) -> AttackAsk | RefineAsk:
        """The question with the tactic's demonstrations before its own."""
        chosen = self.tactics.get(tactic)
        if chosen is None or not chosen.demonstrations:
            return ask
        return ask.model_copy(update={"demonstrations": (*ask.demonstrations, *chosen.demonstrations)})


def respond(query: str) -> Messages:
    """Ask the learner; a query that carries a dialogue is asked turn by turn."""
    return [
        {"role": "assistant" if number % 2 else "user", "content": said}
        for number, said in enumerate(multi_turn.split(query))
    ]


def read_critique(text: str, response: str) -> tuple[tuple[str, ...], int]:
    """The quotes in a critique and how many of them are no exact substring of the response."""
    quotes = tuple(_QUOTE.findall(text))
    return quotes, sum(quote not in response for quote in quotes)


_GRADER = re.compile(
    r"\b(?:(?:verdict|acceptable|the (?:judge|grader|critic)|is the answer|answer is (?:good|correct))\b|score\s*[:=])",
    re.IGNORECASE,
)


def addresses_grader(query: str) -> bool:
    """Whether a query talks to the grader instead of the learner (gate J of the attacker's reward)."""
    return bool(_GRADER.search(query))
