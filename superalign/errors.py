"""The errors a user can mend: one clear line, exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user gave is wrong.

    The message is one line that names what was wrong, where, and what would be right.
    The command line prints it without a traceback and exits with code 2.
    """


class InsufficientResources(UserError):
    """Nothing is free for a process within the time that was given; others may do without it."""


class ActorLost(Exception):
    """A role or service process died; its state can be restored from the last committed round.

    Attributes:
        actor: name of the process that died.
    """

    def __init__(self, actor: str, message: str) -> None:
        super().__init__(message)
        self.actor = actor

    def __reduce__(self) -> tuple[type[ActorLost], tuple[str, str]]:
        return type(self), (self.actor, str(self))


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?` for the known word most like `word`, or nothing when none is like it."""
    known = list(known)
    parent, _, leaf = word.rpartition(".")
    siblings = {key.rpartition(".")[2]: key for key in known if parent in known and key.rpartition(".")[0] == parent}
    by_leaf = siblings or {key.rpartition(".")[2]: key for key in known}
    if word in by_leaf and word not in known:
        return f"; did you mean {by_leaf[word]}?"
    found = [] if siblings else difflib.get_close_matches(word, known, 1, 0.7)
    found = found or [by_leaf[match] for match in difflib.get_close_matches(leaf, by_leaf, 1, 0.6)]
    return f"; did you mean {found[0]}?" if found else ""
