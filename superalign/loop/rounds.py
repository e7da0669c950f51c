"""Going through the rounds of a recipe: from the last commit on, and again from there when an actor is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from superalign.config.schema import Config
from superalign.errors import ActorLost
from superalign.loop.pins import find_pins
from superalign.loop.workers import Workers, versions
from superalign.report import judged, learning, page
from superalign.report.writers import Writers, flatten
from superalign.runtime.connection import resolve_address, start
from superalign.store.run_writer import Plan, RunWriter

RoundRow = dict[str, Any]
"""What a round adds to metrics.jsonl."""
REPORT_SHARE: Final = 0.02
"""Of a run's time, at most, goes into reports under way: each reads all rounds so far, and costs more than the last."""


@contextmanager
def open_run(config: Config, plan: Plan | None = None) -> Iterator[RunWriter | None]:
    """The run of these settings, locked for this block; None, after a message, if it is already complete.

    Raises:
        UserError: the run cannot be written, or differs from what it was begun with. If this, or the block, is refused
            before a round is committed, no new folder stays.
    """
    where = config.run
    with RunWriter.create_or_resume(
        config.model_dump(), where.root, where.name, plan=plan, pins=find_pins(config)
    ) as run:
        if run.complete:
            run.progress.say(f"{run.folder} is complete: nothing to do")
        yield None if run.complete else run


@contextmanager
def build_workers(config: Config, run: RunWriter) -> Iterator[Workers]:
    """Roles and services of a run on its cluster, which ends with the block."""
    config = config.model_copy(update={"cluster": resolve_address(config.cluster)})
    with ExitStack() as stack:
        with run.stage("sync"):
            run.progress.doing("setting up: starting processes")
            cluster = stack.enter_context(start(config.cluster, run.log_dir))
            workers = Workers.make(config, run, cluster)
        yield workers


def run_rounds(
    run: RunWriter,
    workers: Workers,
    do: Callable[[int, Path], RoundRow],
    on_restore: Callable[[], None] | None = None,
    should_stop: Callable[[], object] | None = None,
) -> None:
    """Do every round that is still to do.

    Args:
        run: the run, whose plan says how far it goes.
        workers: restored from the last committed round before the first one here, and after every loss of an actor.
        do: does one round in the folder given, commits it and returns its row.
        on_restore: called after the workers are restored.
        should_stop: asked before every round; a true answer ends the run there.

    The report is written after rounds while that is cheap, and by the recipe once more at the end.
    """
    writers, standing, due = Writers.open(run, run.settings["track"]), False, 0.0
    while (number := 0 if (last := run.last_round()) is None else last + 1) <= run.plan.last_round:
        if should_stop and should_stop():
            break
        folder = run.begin_round(number)
        try:
            if not standing:
                with run.stage("sync"):
                    run.progress.doing("setting up: loading models")
                    workers.restore(run)
                    if on_restore:
                        on_restore()
                standing = True
            else:
                workers.resize_engines()
            row = do(number, folder)
        except ActorLost as loss:
            run.event("actor_lost", actor=loss.actor, round=number, reason=str(loss))
            workers.restart(loss)
            standing = False
            continue
        workers.cluster.reset_restarts()
        for sentence in (
            *judged.judge_warnings([row]),
            *learning.idle_roles([row]),
            *learning.unread([row], learning.UNREAD),
        ):
            run.progress.say(f"warning: {sentence}")
        writers.log(number, flatten(row))
        if (began := time.monotonic()) >= due:
            page.write(run.folder)
            due = began + (time.monotonic() - began) / REPORT_SHARE
    writers.close()


def finish(run: RunWriter, metrics: RoundRow, told: tuple[str, ...] = (), **facts: Any) -> int:
    """Write summary.json and the report, and say where the report is and whether the run taught its role anything.

    Args:
        metrics: the final figures.
        told: what the summary takes from the last row; a `finding` there is said, too.
        facts: what else the summary says.

    Returns:
        What the recipe exits with: 0, or `learning.EXIT_STATUS` of a run that learned nothing.
    """
    rows = run.rows()
    last = {name: rows[-1][name] for name in ("finding", *told) if name in rows[-1]}
    nothing = learning.nothing_learned(rows)
    unlearned = {"nothing_learned": nothing} if nothing else {}
    run.finish(metrics, versions=versions(), **last, **unlearned, **facts)
    if "finding" in last:
        run.progress.say(last["finding"])
    if declines := learning.declines_everything(rows):
        run.progress.say(f"THIS IS NO SAFE MODEL: {declines}")
    for sentence in judged.judge_said(rows):
        run.progress.say(sentence)
    run.progress.say(f"report: {page.write(run.folder).resolve()}")
    if nothing:
        run.progress.say(f"NOTHING WAS LEARNED, the figures are no result. {nothing}")
    return learning.EXIT_STATUS if nothing else 0
