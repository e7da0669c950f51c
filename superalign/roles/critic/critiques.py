"""Critiques on record: the text, what it quotes, and how much of that the answer does not say."""

from __future__ import annotations

from superalign.prompts.library import read_critique
from superalign.records import Critique, Response, content_id


def critique_of(response: Response, text: str, version: int) -> Critique:
    """The record of a critique; quotes are checked to be exact.

    Args:
        response: what is criticised.
        text: the critique with its verdict word.
        version: of the critic that wrote it.
    """
    quotes, unsupported = read_critique(text, response.text)
    return Critique(content_id("critique", response.id), response.id, text, quotes, unsupported, version)
