"""How many answers of a role could not be read back: counted, told, and never taken for a verdict."""

from __future__ import annotations

from collections import Counter

from superalign.prompts.asks import Ask

Unread = dict[str, tuple[int, int]]
"""By what was asked (`attack`, `critique`, `revise`): answers that could not be read, and answers in all."""


class Reading:
    """Reads answers and remembers how many could not be read."""

    def __init__(self) -> None:
        self._asked: Counter[str] = Counter()
        self._unread: Counter[str] = Counter()

    def read(self, what: str, ask: Ask, answer: str) -> dict[str, str] | None:
        """What `Ask.read` finds in an answer."""
        found = ask.read(answer)
        self._asked[what] += 1
        self._unread[what] += found is None
        return found

    def take(self) -> Unread:
        """The counts since the last call."""
        found = {what: (self._unread[what], count) for what, count in sorted(self._asked.items())}
        self._asked.clear()
        self._unread.clear()
        return found
