"""Dialogues in a cell: messages as TRL, OpenAI and ShareGPT write them, and transcripts as HH-RLHF does."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from superalign.errors import UserError
from superalign.prompts import multi_turn

Role = Literal["system", "user", "assistant"]
ROLES: Final[Mapping[str, Role]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
}
SPEAKER: Final = re.compile(r"(?:^|\n\n)\s*(Human|Assistant|System):[ \t]*")
TRANSCRIPT: Final = re.compile(r"\s*Human:")
SYSTEM: Final = "system turns dropped"
FOLDED: Final = "system turns put before the first request"
ANSWERS: Final = "answers at the end of a dialogue dropped"
OPENINGS: Final = "turns of the assistant before the first request dropped"
EARLIER: Final = "requests after earlier turns, which they carry"


class Turn(NamedTuple):
    """What somebody says in a dialogue."""

    role: Role
    text: str


def turns_of(where: str, value: Any) -> list[Turn] | None:
    """The turns of a dialogue; None where a cell holds none.

    A text is a dialogue if it begins with `Human:` and an `Assistant:` follows (or two line breaks come first, as in
    HH-RLHF), or if it is a list of messages as JSON or as Python writes it.

    Raises:
        UserError: a message has no role that is known, or holds more than text.
    """
    if isinstance(value, str):
        if value.lstrip().startswith("[{") and (read := _messages_in(value)) is not None:
            return turns_of(where, read)
        if TRANSCRIPT.match(value) and (value.startswith("\n\nHuman:") or "\n\nAssistant:" in value):
            return _of_transcript(value)
        return None
    if isinstance(value, Mapping) and all(isinstance(value.get(name), list) for name in ("role", "content")):
        pairs = zip(value["role"], value["content"], strict=False)  # as older versions of datasets give messages
        value = [{"role": role, "content": content} for role, content in pairs]
    elif isinstance(value, Mapping) and "role" in value and "content" in value:
        value = [value]
    if not isinstance(value, list) or not value or not all(isinstance(each, Mapping) for each in value):
        return None
    return _merged([_turn(where, message) for message in value])


def carried(turns: Sequence[Turn], notes: Counter[str], keep_system: bool = False) -> str:
    """The request of a dialogue, which the user makes last: alone as it is, after others in the form of `multi_turn`.

    Args:
        turns: of the dialogue.
        notes: counts what was dropped or folded.
        keep_system: whether a system turn is put before the first of the user, or dropped.
    """
    system = [turn.text for turn in turns if turn.role == "system" and turn.text]
    said = _merged([turn for turn in turns if turn.role != "system"])
    if said and said[-1].role == "assistant":
        notes[ANSWERS] += bool(said.pop().text)
    while said and said[0].role == "assistant":
        notes[OPENINGS] += bool(said.pop(0).text)
    if not said:
        return ""
    notes[FOLDED if keep_system else SYSTEM] += bool(system)
    notes[EARLIER] += len(said) > 1
    first = "\n\n".join([*system, said[0].text] if keep_system else [said[0].text])
    return multi_turn.carry([first, *(turn.text for turn in said[1:])]) if len(said) > 1 else first


def split_pair(where: str, chosen: Any, rejected: Any) -> tuple[list[Turn], list[Turn], list[Turn]] | None:
    """Prompt, chosen and rejected turns of two dialogues that begin alike, as TRL reads an implicit prompt.

    None where the cells hold no dialogues.

    Raises:
        UserError: see `turns_of`.
    """
    from trl.data_utils import extract_prompt

    dialogues = turns_of(where, chosen), turns_of(where, rejected)
    if not (dialogues[0] and dialogues[1]):
        return None
    found = extract_prompt({"chosen": dialogues[0], "rejected": dialogues[1]})
    return found["prompt"], found["chosen"], found["rejected"]


def prompt_of(where: str, chosen: Any, rejected: Any, notes: Counter[str]) -> str:
    """The request that two answers are to.

    Raises:
        UserError: they hold no dialogues, so that nothing tells where the request ends.
    """
    found = split_pair(where, chosen, rejected)
    if found is None:
        raise UserError(
            f"{where}: chosen and rejected hold no dialogue that would tell the request; set data.columns.text= to the "
            "column of requests"
        )
    return carried(found[0], notes)


def _turn(where: str, message: Mapping[str, Any]) -> Turn:
    name = message.get("role", message.get("from"))
    role = ROLES.get(str(name).strip().lower())
    if role is None:
        raise UserError(f"{where}: a message has the role {str(name)[:24]!r}; known are {', '.join(ROLES)}")
    return Turn(role, _content(where, message.get("content", message.get("value"))))


def _content(where: str, content: Any) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content.strip()
    if isinstance(content, list):
        parts = [part if isinstance(part, str) else part.get("text") for part in content if part]
        if all(isinstance(part, str) for part in parts):
            return "\n\n".join(map(str, parts)).strip()
    raise UserError(f"{where}: a message holds more than text, which no model here reads")


def _of_transcript(text: str) -> list[Turn]:
    said = list(SPEAKER.finditer(text))
    ends = [*(found.start() for found in said[1:]), len(text)]
    return _merged(
        [Turn(ROLES[found[1].lower()], text[found.end() : end].strip()) for found, end in zip(said, ends, strict=True)]
    )


def _merged(turns: Sequence[Turn]) -> list[Turn]:
    """Turns of one speaker in a row as one."""
    found: list[Turn] = []
    for turn in turns:
        if found and found[-1].role == turn.role:
            found[-1] = Turn(turn.role, "\n\n".join(filter(None, (found[-1].text, turn.text))))
        else:
            found.append(turn)
    return found


def _messages_in(text: str) -> list[Any] | None:
    """A list of messages that a table holds as text."""
    for parse in (json.loads, ast.literal_eval):
        try:
            read = parse(text.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(read, list) and all(isinstance(m, dict) and {"role", "from"} & m.keys() for m in read):
            return read
    return None
