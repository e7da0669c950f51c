"""Chats as token ids that users cannot forge."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from superalign.errors import UserError
from superalign.models import thoughts
from superalign.models.plain_text import PlainText
from superalign.models.template import ChatTemplate, Rendering

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

log = logging.getLogger(__name__)

ENDED: tuple[str, ...] = ("user", "assistant")
"""A chat in which the assistant has spoken: it shows how the template begins and ends such a turn."""


class Chat:
    """Chats as token ids.

    They are the ids that the chat template gives (transformers' `apply_chat_template`, thinking switched off). Only the
    template can produce special tokens: content that spells one is encoded as plain text. A tokenizer without a chat
    template gets the plain-text one "### System:\\n...\\n\\n### User:\\n...\\n\\n### Assistant:\\n" (after its begin
    token, if it has one).

    A thought that the template opens is closed in the prompt, so that answers come first.

    Attributes:
        tokenizer: the tokenizer of the model.
        context: the most tokens that a prompt and its completion can have together.
        stop_ids: the tokens that end an assistant's turn.

    Raises:
        UserError: nothing ends a turn, or the chat template is broken.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, context: int | None = None, stop_ids: Sequence[int] = ()
    ) -> None:
        self.tokenizer = tokenizer
        self.context: int = context or tokenizer.model_max_length
        self._template = ChatTemplate(tokenizer)
        listed = [i for i in (tokenizer.eos_token_id, *stop_ids) if i is not None]
        self._plain = PlainText(tokenizer, self._template.source, listed)
        self._frames: dict[tuple[str, ...], tuple[list[list[int]], list[int]]] = {}
        self._begin = [tokenizer.bos_token_id] if not self._template.source and self._begins() else []
        self._closing, self._opening = self._assistant_begins()
        end = self._turn_end()
        ends = listed if end is None else [end, *listed]
        if not ends:
            raise UserError(f"{tokenizer.name_or_path}: its tokenizer has no end token; set eos_token in it")
        self._end = ends[0]
        self.stop_ids: frozenset[int] = frozenset(ends)
        self._specials = {token.content: i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
        self._special_markers = {self._specials[text] for text in thoughts.MARKERS if text in self._specials}

    def prompt_ids(self, messages: Sequence[dict[str, str]], room: int = 1) -> list[int]:
        """The ids of a chat up to where the assistant's next turn begins.

        What does not fit is cut out of the middle of the longest message, so that `room` tokens (a quarter of the
        context at most) are left for the completion; the log says so once.

        Raises:
            UserError: the chat template takes no such chat.
        """
        way = self._template.rendering(tuple(message["role"] for message in messages))
        texts = [message["content"] for message in messages]
        frame, duties = self._frame(tuple(message["role"] for message in messages), way)
        most = self.context - min(room, self.context // 4)
        if not any(map(self._plain.names_reserved, texts)):
            ids = self._whole(texts, way)
            if 0 < len(ids) <= most and [i for i in ids if i in self._plain.forbidden] == duties:
                return ids
        return self._pieced(texts, way, frame, most)

    def closed(self, ids: Sequence[int]) -> list[int]:
        """A finished turn of the assistant: its ids and the token that ends it."""
        return [*ids, self._end]

    def encode(self, text: str) -> list[int]:
        """The ids of what an assistant says right after a prompt; no special or added token whatever the text says."""
        before, gap = self._opening
        return self._plain.encode(gap + text if text else text, before)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens left out."""
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def answer(self, ids: Sequence[int]) -> str:
        """The visible text of a completion: without the thoughts of a model that thinks in spite of its prompt."""
        # Decoding leaves out special tokens, and with them the borders of a thought that is marked by such.
        marked = not self._special_markers.isdisjoint(ids)
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=not marked, clean_up_tokenization_spaces=False)
        shown = thoughts.visible(text)
        if shown != text:
            _say_thinking(self.tokenizer.name_or_path)
            if not shown:
                _say_unfinished(self.tokenizer.name_or_path)
        for token in self._specials if marked else ():
            shown = shown.replace(token, "")
        return shown

    def _whole(self, texts: Sequence[str], way: Rendering) -> list[int]:
        """What the template makes of the contents, encoded at once; nothing where it fails on these contents."""
        try:
            whole = self._template.render(texts, way) + self._closing
        except Exception:  # as in `ChatTemplate`; it has rendered other contents
            return []
        return [*self._begin, *self._plain.of_template(whole, first=True)]

    def _pieced(self, texts: Sequence[str], way: Rendering, frame: list[list[int]], most: int) -> list[int]:
        """The template and the contents encoded apart: for texts that must not pass through it, or are cut."""
        contents = []
        for index, before, (left, right) in zip(way.contents, way.texts, way.trimmed, strict=False):
            text = texts[index].lstrip() if left else texts[index]
            contents.append(self._plain.encode(text.rstrip() if right else text, self._tail(before)))
        excess = sum(map(len, (*frame, *contents))) - most
        while excess > 0 and any(contents):
            longest = max(contents, key=len)
            cut = min(excess, len(longest) - max((len(c) for c in contents if c is not longest), default=0) or 1)
            start = (len(longest) - cut) // 2
            del longest[start : start + cut]
            excess -= cut
            _say_cut(self.tokenizer.name_or_path, self.context)
        first, *others = frame
        return [*first, *(i for content, piece in zip(contents, others, strict=True) for i in (*content, *piece))]

    def _frame(self, roles: tuple[str, ...], way: Rendering) -> tuple[list[list[int]], list[int]]:
        """The ids of the template around the contents, and which of them no content may produce."""
        if roles not in self._frames:
            texts = [*way.texts[:-1], way.texts[-1] + self._closing]
            frame = [self._plain.of_template(text, first=not place) for place, text in enumerate(texts)]
            frame[0] = [*self._begin, *frame[0]]
            self._frames[roles] = frame, [i for piece in frame for i in piece if i in self._plain.forbidden]
        return self._frames[roles]

    def _tail(self, text: str) -> str:
        """The end of a template's text from its last reserved token on: all that what follows can depend on."""
        return text[max(0, *(text.rfind(token) for token in self._plain.reserved)) :]

    def _assistant_begins(self) -> tuple[str, tuple[str, str]]:
        """What closes the thought of a prompt; what precedes an answer, and the space that the template puts first."""
        asked = self._template.rendering(("user",)).texts[-1]
        if not self._template.source:
            return "", (asked, "")
        closing = thoughts.closing(asked, {token.content for token in self.tokenizer.added_tokens_decoder.values()})
        if closing:
            log.warning("%s: its chat template opens a thought; prompts close it at once", self.tokenizer.name_or_path)
        whole = asked + closing
        try:
            spoken = self._template.rendering(ENDED, generate=False).texts[1]
        except UserError:  # a template for prompts alone
            return closing, (self._tail(whole), "")
        return closing, (self._tail(whole), " " if spoken == f"{whole} " else "")

    def _begins(self) -> bool:
        bos = self.tokenizer.bos_token_id
        return bos is not None and self.tokenizer.encode("a")[:1] == [bos]

    def _turn_end(self) -> int | None:
        """The special token that the template puts right after an assistant's words, if any."""
        if not self._template.source:
            return None
        try:
            after = self._template.rendering(ENDED, generate=False).texts[-1]
        except UserError:
            return None
        return next((i for i in self._plain.of_template(after, first=False) if i in self._plain.forbidden), None)


@lru_cache(maxsize=8)
def _say_cut(model: str, context: int) -> None:
    log.warning("%s: some prompts are longer than its context of %d tokens; their middle is cut out", model, context)


@lru_cache(maxsize=8)
def _say_thinking(model: str) -> None:
    log.warning("%s: it thinks though its prompt asks for none; thoughts are cut off before anything is judged", model)


@lru_cache(maxsize=8)
def _say_unfinished(model: str) -> None:
    log.warning("%s: an answer ended within its thought, so it is empty; raise max_new_tokens of its role", model)
