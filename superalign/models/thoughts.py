"""Thoughts of reasoning models: closed in the prompt where that can be done, cut off the visible answer elsewhere."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

TAGS: Final = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("◁think▷", "◁/think▷"),
    ("<|channel>", "<channel|>"),
)
CHANNEL, MESSAGE, FINAL = "<|channel|>", "<|message|>", "<|channel|>final<|message|>"
MARKERS: Final = (*(tag for pair in TAGS for tag in pair), CHANNEL, MESSAGE)
"""Strings that begin or end a thought."""


def closing(opening: str, known: Collection[str]) -> str:
    """What has to follow a generation prompt so that the visible answer comes next; empty where it does anyway.

    A thought that the prompt opens stays empty, in the form that templates give it where thinking is switched off. A
    model that speaks in channels (gpt-oss) is put on the final one.

    Args:
        opening: what the template writes after the last message.
        known: the tokens that the tokenizer has as wholes beside its vocabulary of pieces.
    """
    if opening.rstrip().endswith("<|start|>assistant") and {CHANNEL, MESSAGE} <= set(known):
        return FINAL
    for start, end in TAGS:
        at = opening.rfind(start)
        if at < 0 or opening.rfind(end) > at:
            continue
        inside = opening[at + len(start) :]
        missing = 2 - len(inside) if not inside.strip("\n") else 1
        return "\n" * max(0, missing) + end + "\n\n"
    return ""


def visible(text: str) -> str:
    """The text without its thoughts; one that was not finished hides all that follows it."""
    shown = text
    for start, end in TAGS:
        shown = re.sub(f"{re.escape(start)}.*?{re.escape(end)}", "", shown, flags=re.DOTALL)
        shown = shown.rpartition(end)[2].partition(start)[0]
    if CHANNEL in shown:
        _, final, shown = shown.rpartition(FINAL)
        shown = shown if final else ""
    return shown if shown == text else shown.strip()
