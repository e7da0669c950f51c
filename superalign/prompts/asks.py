"""One question to a model as data: what is said to it, how its answer begins, and how that answer is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from superalign.records import Message

Messages = list[Message]

_FIELD = re.compile(r"\{([a-z_]+)\}")


class Data(BaseModel):
    """Base of what is read from files of prompts and policies: frozen, unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Demonstration(Data):
    """An example of a question and the answer wanted."""

    user: str
    assistant: str


class Ask(Data):
    """What a role is asked, with fields in braces such as `{request}`, and how its answer is read back.

    `pattern` is a regular expression that has to match the whole answer (a dot matches line ends, too); its group
    `text` is what is read, the whole match where it has no such group. An answer that does not match, that matches
    `unreadable` anywhere, or of which nothing is left, could not be read.
    """

    FIELDS: ClassVar[frozenset[str]] = frozenset()
    NEEDED: ClassVar[frozenset[str]] = frozenset()

    system: str = Field("", description="the system turn; empty: none")
    demonstrations: tuple[Demonstration, ...] = Field((), description="examples, as turns before the question")
    user: str = Field(..., description="the question")
    opening: str = Field("", description="how the answer begins: put into the mouth of the model")
    pattern: str = Field(".*", description="regular expression of an answer that can be read")
    unreadable: str = Field("", description="regular expression of answers that cannot; empty: none")

    @field_validator("pattern", "unreadable")
    @classmethod
    def _compiles(cls, given: str) -> str:
        try:
            re.compile(given, re.DOTALL)
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        return given

    @model_validator(mode="after")
    def _fields(self) -> Self:
        used = {name for text in (self.system, self.user, self.opening) for name in _FIELD.findall(text)}
        if unknown := sorted(used - self.FIELDS):
            raise ValueError(f"has {{{unknown[0]}}}; it can have {_listed(self.FIELDS)}")
        if missing := sorted(self.NEEDED - used):
            raise ValueError(f"does not say {{{missing[0]}}}, so the model would not be shown it")
        return self

    def messages(self, **fields: str) -> Messages:
        """The chat up to where the model answers; what a field says is never read as a template."""
        turns: Messages = [{"role": "system", "content": fill(self.system, fields)}] if self.system else []
        for shown in self.demonstrations:
            turns.append({"role": "user", "content": shown.user})
            turns.append({"role": "assistant", "content": shown.assistant})
        return [*turns, {"role": "user", "content": fill(self.user, fields)}]

    def opened(self, **fields: str) -> str:
        """How the answer begins."""
        return fill(self.opening, fields)

    def read(self, answer: str) -> dict[str, str] | None:
        """The named groups of the pattern in an answer (with its opening), `text` at least; None: it cannot be read."""
        found = re.fullmatch(self.pattern, answer, re.DOTALL)
        if found is None or (self.unreadable and re.search(self.unreadable, answer, re.DOTALL)):
            return None
        groups = {name: value.strip() for name, value in found.groupdict().items() if value is not None}
        text = groups.get("text", found.group())
        return {**groups, "text": text} if text else None


def fill(template: str, fields: Mapping[str, str]) -> str:
    """The template with each `{name}` that is a field replaced."""
    return _FIELD.sub(lambda found: fields.get(found.group(1), found.group()), template)


def _listed(names: frozenset[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in sorted(names)) or "no field"
