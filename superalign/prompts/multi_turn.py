"""A query that carries a dialogue: its text holds every turn, so that critic, experts and archive read the whole."""

from __future__ import annotations

from collections.abc import Sequence

MARK = "\N{SYMBOL FOR RECORD SEPARATOR}"
_BETWEEN = f"\n{MARK} "


def carry(turns: Sequence[str]) -> str:
    """The text of a dialogue: asked, answered, asked ..., which ends with what is asked now."""
    return _BETWEEN.join(clean(turn) for turn in turns)


def split(text: str) -> list[str]:
    """The turns of a query, one where it carries no dialogue (or what looks like one ends with an answer)."""
    turns = text.split(_BETWEEN)
    return turns if len(turns) % 2 else [text]


def asked(text: str) -> str:
    """What the attacker said in a query, without the answers."""
    return "\n".join(split(text)[::2])


def clean(text: str) -> str:
    """A turn without the mark, so that nobody can forge an answer of the learner."""
    return text.replace(MARK, "")
