"""Settings that had another name in earlier versions: runs on disk, files and habits may still have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from superalign.errors import UserError

RENAMED: Final = {
    "attacker.sought": "attacker.intended_failures_only",
    "critic.coach": "critic.critique_algorithm",
    "critic.coach_learning_rate": "critic.critique_learning_rate",
    "critic.coached": "critic.critique_cases",
    "critic.rehearsed": "critic.retention_rows",
    "critic.planted_share": "critic.synthetic_flaw_share",
    "guards.planted": "guards.synthetic_flaws",
}


def refuse_renamed(settings: Mapping[str, Any], where: str = "", remedy: str = "") -> None:
    """Refuse nested settings with an old name.

    Raises:
        UserError: naming the first of them and its new name; `where` says what holds it, `remedy` what to do.
    """
    for old, new in RENAMED.items():
        section, _, key = old.partition(".")
        inner = settings.get(section)
        if isinstance(inner, Mapping) and key in inner:
            told = f"{where}: " * bool(where), f"{old} is now called {new}", f"; {remedy}" * bool(remedy)
            raise UserError("".join(told))
