"""Plain text as token ids: nothing that a text says becomes a token of the chat template."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from superalign.models.thoughts import MARKERS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

ANCHOR: Final = "\ue000"  # a character for private use: no vocabulary joins it to its neighbours
ORDINARY: Final = re.compile(r"[\s▁]*|.", re.DOTALL)  # runs of white space, single characters
HTML: Final = re.compile(r"</?[a-z]{1,10}[1-6]?>")


class PlainText:
    """Encodes text of users and models for one tokenizer.

    Attributes:
        forbidden: ids that no text may produce: special tokens, and added ones that are no ordinary text.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, template: str, ends: Iterable[int]) -> None:
        self._tokenizer = tokenizer
        specials, kept = set(tokenizer.all_special_ids), set(ends)
        added: dict[int, Any] = tokenizer.added_tokens_decoder
        reserved = {
            i: token.content
            for i, token in added.items()
            if token.content.strip() and (token.special or i in kept or _is_marker(token.content, template))
        }
        # An unknown token stands for text that the vocabulary lacks; it is forbidden only where it has a second duty.
        duties = {tokenizer.bos_token_id, tokenizer.eos_token_id}
        self.forbidden = (specials | set(reserved)) - ({tokenizer.unk_token_id} - duties)
        self.reserved = frozenset(reserved.values())
        alternatives = "|".join(re.escape(text) for text in sorted(self.reserved, key=len, reverse=True))
        self._reserved = re.compile(f"(?=(?:{alternatives}))") if alternatives else None
        self._anchor = self._ids(ANCHOR)
        self.prefixing = self._ids(f"{ANCHOR}a")[len(self._anchor) :] != self._ids("a")

    def names_reserved(self, text: str) -> bool:
        """Whether the text spells a token that it must not become."""
        return self._reserved is not None and self._reserved.search(text) is not None

    def encode(self, text: str, before: str = "") -> list[int]:
        """The ids of text; no special or added token whatever it says.

        Args:
            text: what is encoded.
            before: what of the chat template precedes it; only tokenizers that put a space before the first word of a
                text (SentencePiece) need it, to leave that out where it is not the first.
        """
        # Cutting after the first character of every reserved string leaves no piece that holds a whole one.
        cuts = [match.start() + 1 for match in self._reserved.finditer(text)] if self._reserved else []
        first, *others = [text[i:j] for i, j in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        ids = [*self._after(before, first), *(i for piece in others for i in self._after(ANCHOR, piece))]
        return [i for i in ids if i not in self.forbidden]

    def of_template(self, text: str, first: bool) -> list[int]:
        """The ids of a piece of the chat template, its special tokens included; not `first`: text precedes it."""
        if first or not self.prefixing:
            return self._ids(text, special=True)
        return self._ids(ANCHOR + text, special=True)[len(self._anchor) :]

    def _after(self, before: str, text: str) -> list[int]:
        if not text:
            return []
        if not self.prefixing or not before:
            return self._ids(text)
        context, whole = self._ids(before, special=True), self._ids(before + text, special=True)
        if whole[: len(context)] == context:
            return whole[len(context) :]
        return self._ids(ANCHOR + text)[len(self._anchor) :]  # both grow together: what is inside a text

    def _ids(self, text: str, special: bool = False) -> list[int]:
        ids: list[int] = self._tokenizer.encode(
            text, add_special_tokens=False, split_special_tokens=not special, verbose=False
        )
        return ids


def _is_marker(text: str, template: str) -> bool:
    """Whether an added token is none of those that stand for ordinary text; Gemma has runs of spaces and HTML tags."""
    if ORDINARY.fullmatch(text):
        return False
    return not HTML.fullmatch(text) or text in template or text in MARKERS
