"""Going through the rounds of a recipe: from the last commit on, and again from there when an actor is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from superalign.errors import ActorLost
from superalign.report import page
from superalign.report.writers import Writers, flatten
from superalign.store.run import Run
from superalign.team import Team

Row = dict[str, Any]


def drive(run: Run, team: Team, do: Callable[[int, Path], Row], stand: Callable[[], None] | None = None) -> None:
    """Do every round that is still to do.

    Args:
        run: the run, whose plan says how far it goes.
        team: restored from the last committed round before the first one here and after every loss.
        do: does one round in the folder given, commits it and returns its row.
        stand: what else restores what rounds rest on.
    """
    writers, standing = Writers.open(run, run.settings["track"]), False
    while (number := 0 if (last := run.last_round()) is None else last + 1) <= run.plan.last_round:
        folder = run.begin_round(number)
        try:
            if not standing:
                with run.stage("sync"):
                    team.restore(run)
                    if stand:
                        stand()
                standing = True
            row = do(number, folder)
        except ActorLost as loss:
            run.event("actor_lost", actor=loss.actor, round=number, reason=str(loss))
            team.cluster.restart(loss)
            standing = False
            continue
        writers.log(number, flatten(row))
        page.write(run.folder)
    writers.close()
