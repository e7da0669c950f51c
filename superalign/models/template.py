"""Chats as the text that a model's chat template makes of them, whatever kinds of turns the template takes.

Templates differ in what they do with a system turn (render, refuse, or drop it in silence), in whether content is a
string or a list of parts, in whether turns must alternate. Each way is tried, with placeholders for the contents; the
first in which every placeholder arrives is the way for chats of these roles.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from superalign.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

FALLBACK_TITLES: Final = {"system": "System", "user": "User", "assistant": "Assistant"}
JOINED: Final = "\n\n"  # between contents that share a turn
MARGIN: Final = " \n "  # around a placeholder, to see whether the template trims contents
PLACEHOLDER: Final = re.compile("\ue000(\\d+)\ue001")

log = logging.getLogger(__name__)

Turn = tuple[str, tuple[int, ...]]
"""A role, and which of the messages its content is made of."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """How chats of certain roles are rendered.

    Attributes:
        turns: the turns that the template is given.
        parts: whether their content is a list of parts, `[{"type": "text", "text": ...}]`, instead of a string.
        texts: what the template writes before, between and after the contents, which lie between them.
        contents: the index of the message that lies after each of these texts but the last.
        trimmed: whether the template strips white space before and after that content.
    """

    turns: tuple[Turn, ...]
    parts: bool
    texts: tuple[str, ...]
    contents: tuple[int, ...]
    trimmed: tuple[tuple[bool, bool], ...]


class ChatTemplate:
    """The chat template of a tokenizer, or the plain-text one where it has none.

    Args:
        tokenizer: whose template it is; its `name_or_path` is what errors call it.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        self.source = template_source(tokenizer)
        self._known: dict[tuple[tuple[str, ...], bool], Rendering] = {}

    def rendering(self, roles: tuple[str, ...], generate: bool = True) -> Rendering:
        """How a chat of these roles is rendered, up to where the assistant's next turn begins if `generate`.

        Raises:
            UserError: the template is broken, or takes no such chat.
        """
        if (roles, generate) not in self._known:
            self._known[roles, generate] = self._find(roles, generate)
        return self._known[roles, generate]

    def render(self, contents: Sequence[str], way: Rendering, generate: bool = True) -> str:
        """The text of a chat with these contents."""
        turns = [(role, JOINED.join(contents[i] for i in indices)) for role, indices in way.turns]
        if not self.source:
            written = [f"### {FALLBACK_TITLES[role]}:\n{content}" for role, content in turns]
            return JOINED.join([*written, "### Assistant:\n"] if generate else written)
        messages: list[dict[str, Any]] = [
            {"role": role, "content": [{"type": "text", "text": content}] if way.parts else content}
            for role, content in turns
        ]
        text: str = self._tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=generate, enable_thinking=False
        )
        return text

    def _find(self, roles: tuple[str, ...], generate: bool) -> Rendering:
        reason = "some of the texts do not arrive in it"
        asked = tuple((role, (i,)) for i, role in enumerate(roles))
        for turns, parts in _ways(asked):
            way = Rendering(turns, parts, (), (), ())
            try:
                found = self._tried(way, len(roles), generate)
            except Exception as error:  # a template can raise whatever its expressions do
                reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
                _refuse_broken(self._tokenizer.name_or_path, error)
                continue
            if found is not None:
                if turns != asked:
                    _say_folded(self._tokenizer.name_or_path)
                return found
        raise UserError(
            f"{self._tokenizer.name_or_path}: its chat template takes no chat of {', '.join(roles)} ({reason}); "
            "mend the template, or remove it to have chats written as plain text"
        )

    def _tried(self, way: Rendering, count: int, generate: bool) -> Rendering | None:
        """The rendering of placeholders; None where one did not arrive, or as part of a printed list."""
        named = [f"\ue000{i}\ue001" for i in range(count)]
        pieces = PLACEHOLDER.split(self.render(named, way, generate))
        texts, contents = tuple(pieces[::2]), tuple(map(int, pieces[1::2]))
        if set(contents) != set(range(count)) or any(re.search(r"""['"]text['"]: ['"]$""", text) for text in texts):
            return None
        wide = PLACEHOLDER.split(self.render([MARGIN + name + MARGIN for name in named], way, generate))[::2]
        trimmed = tuple((not before.endswith(MARGIN), not after.startswith(MARGIN)) for before, after in pairwise(wide))
        if len(trimmed) != len(contents):  # white space changes what the template writes
            trimmed = ((False, False),) * len(contents)
        return Rendering(way.turns, way.parts, texts, contents, trimmed)


def _ways(asked: tuple[Turn, ...]) -> Iterator[tuple[tuple[Turn, ...], bool]]:
    """What can be tried: turns as asked for, without system turns, alternating; contents as strings, as parts."""
    folded = _without_system(asked)
    for turns in dict.fromkeys((asked, folded, _alternating(folded))):
        yield turns, False
        yield turns, True


def _without_system(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """The words of system turns begin the next turn of the user."""
    out: list[Turn] = []
    waiting: tuple[int, ...] = ()
    for role, indices in turns:
        if role == "system":
            waiting += indices
        elif role == "user":
            out.append((role, waiting + indices))
            waiting = ()
        else:
            out.append((role, indices))
    return (*out, ("user", waiting)) if waiting else tuple(out)


def _alternating(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    out: list[Turn] = []
    for role, indices in turns:
        if out and out[-1][0] == role:
            out[-1] = (role, out[-1][1] + indices)
        else:
            out.append((role, indices))
    return tuple(out)


def template_source(tokenizer: PreTrainedTokenizerFast) -> str:
    """The text of a tokenizer's chat template, of several that of the default one; empty where it has none."""
    found: Any = tokenizer.chat_template
    if isinstance(found, dict):
        found = found.get("default") or next(iter(found.values()), "")
    return str(found or "")


def _refuse_broken(name: str, error: Exception) -> None:
    from jinja2 import TemplateSyntaxError

    if isinstance(error, TemplateSyntaxError):
        reason = " ".join((error.message or "").split()).partition(". ")[0]
        raise UserError(
            f"{name}: its chat template has a syntax error in line {error.lineno} ({reason}); mend the template "
            "(chat_template.jinja, or chat_template in tokenizer_config.json), or remove it"
        ) from error


@lru_cache(maxsize=8)
def _say_folded(name: str) -> None:
    log.warning("%s: its chat template has no such turns, so system texts begin the user's turn", name)
