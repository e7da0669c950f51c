"""`superalign status`: how far a run is and what it measured; of no run, a list of them all."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from superalign.commands import shown
from superalign.commands.opened import fitting, job_of, open_run_or_job, say, tell_job
from superalign.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from superalign.store.clock import Plan
    from superalign.store.folder import RunFolder

STATUS_LINES: Final = 5  # of a job's log
WEAK_TO_STRONG: Final = "weak_to_strong"
STOPPED: Final = "stopped"
HEADER: Final = 18  # cells of a line above a figure with its interval


def status(run: str | Path, console: Console, address: str | None = None) -> None:
    """State, figures by round or by study, and what would go on next.

    Raises:
        UserError: there is no such run, nor a job of one on the cluster at `address` or known here.
    """
    from superalign.report import real_text, recipes
    from superalign.store.run_lock import writer_of

    opened = open_run_or_job(run, address)
    if isinstance(opened, tuple):
        return tell_job(*opened, console, STATUS_LINES)
    rows, config, writer = opened.rows(), opened.config(), writer_of(opened.folder)
    job = None
    if opened.summary() is None and writer is None:
        try:
            job = job_of(opened.folder.absolute(), address)
        except UserError as gone:
            say(console, str(gone))
    if job is not None and not job[1].status.is_terminal():
        state = f"{job[1].status.lower()} as job {job[1].submission_id}"
    else:
        state = _state(opened, writer)
        if state == STOPPED:
            verb = "train" if job is None else "submit"
            state = f"{state}; superalign {verb} run.name={opened.name} with the same settings resumes it"
    say(console, f"{opened.folder}: {_reached(opened, rows, config)}, {state}")
    if writer is not None:
        for line in _now(opened, rows, config):
            say(console, line)
    lost = sum(event["event"] == "actor_lost" for event in opened.events())
    if lost:
        say(console, f"actors lost and replaced so far: {lost}")
    for line in _notes(opened):
        say(console, line)
    kind = recipes.like(rows, config)
    if cells := _results(opened, rows):
        for study, found in _studies(cells).items():
            say(console, study)
            console.print(fitting(console, partial(_methods, found)))
    elif rows and shown.headline(rows, kind):
        console.print(fitting(console, partial(_figures, rows, kind)))
        if real_text.lines(rows, config):
            console.print(fitting(console, partial(_real_text, rows, config)))
    elif rows:
        say(console, f"recipe={config['recipe']} measures no figures")
    if job is not None:
        tell_job(*job, console, STATUS_LINES)


def list_runs(root: str, console: Console) -> None:
    """A line for every run below a folder, the newest first."""
    from rich.table import Table
    from rich.text import Text

    from superalign.store.folder import RunFolder

    folders = sorted((path.parent for path in Path(root).expanduser().glob("*/format")), key=_changed, reverse=True)
    if not folders:
        say(console, f"no runs in {root}: superalign train begins one, --root FOLDER looks elsewhere")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("run", "recipe", "state", "reached", "last change", "headline"):
        # Where the terminal is too narrow the headline alone is cut: rich shrinks what may be wrapped.
        table.add_column(title, overflow="ellipsis", no_wrap=title != "headline")
    for folder in folders:
        try:
            cells = _line(RunFolder.open(folder))
        except (UserError, OSError, KeyError) as error:  # one that is damaged must not hide the others
            cells = ["", "cannot be read", "", _ago(_changed(folder)), str(error)]
        table.add_row(folder.name, *(Text(cell, no_wrap=True, overflow="ellipsis") for cell in cells))
    console.print(table)


def _line(run: RunFolder) -> list[str]:
    """What the list tells of a run behind its name."""
    from superalign.report import figures, recipes
    from superalign.store.run_lock import writer_of

    rows, config = run.rows(), run.config()
    recipe, kind = str(config["recipe"]), recipes.like(rows, config)
    names = [name for name in shown.headline(rows, kind) if rows and figures.estimate(rows[-1], name)]
    best = figures.estimate(rows[-1], names[0]) if names else None
    headline = f"{shown.title(names[0])} {shown.told(names[0], best)}" if best else "-"
    state = _state(run, writer_of(run.folder)).partition(":")[0]
    return [recipe, state, _reached(run, rows, config), _ago(_changed(run.folder)), headline]


def _state(run: RunFolder, writer: int | None) -> str:
    summary = run.summary()
    if summary is not None:
        if summary.get("stopped"):
            return f"stopped by a guard: {summary['stopped']}"
        return "complete, learned nothing" if summary.get("nothing_learned") else "complete"
    return STOPPED if writer is None else f"running as process {writer}"


def _notes(run: RunFolder) -> list[str]:
    """What must not be overlooked beside state and figures."""
    from superalign.report import judged, learning

    notes = []
    if why := (run.summary() or {}).get("nothing_learned"):
        notes.append(f"NOTHING WAS LEARNED, the figures are no result. {why}")
    if why := learning.declines_everything(run.rows()):
        notes.append(f"THIS IS NO SAFE MODEL: {why}")
    notes += judged.judge_said(run.rows())
    notes += learning.unread(run.rows())
    notes += [
        f"{each['name']} changed after round {each['after_round']}, which was accepted ({each['time']})"
        for each in run.pinned().accepted
    ]
    return notes


def _plan(run: RunFolder, config: Mapping[str, Any]) -> Plan:
    """How far the run goes, as its last start said; a run of an earlier version did not."""
    from superalign.store.clock import Plan

    told = [event["plan"] for event in run.events() if "plan" in event]
    if told:
        return Plan(told[-1]["last_round"], unit=told[-1]["unit"], first=told[-1]["first"])
    if config["recipe"] == WEAK_TO_STRONG:
        return Plan(int(config["w2s"]["seeds"]) - 1, unit="split", first=1)
    return Plan(int(config["rounds"]))


def _reached(run: RunFolder, rows: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> str:
    plan = _plan(run, config)
    if not rows:
        return f"before {plan.unit} {plan.first}"
    return f"{plan.unit} {rows[-1]['round'] + plan.first} of {plan.last_round + plan.first}"


def _now(run: RunFolder, rows: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> list[str]:
    """What a running run does, and for about how long."""
    from superalign.store import live, progress

    lines, plan = [], _plan(run, config)
    if last := _last_line(run.log_dir / "driver.log"):
        lines.append(f"now: {last}")
    if count := progress.newest(run.log_dir, time.time() - 60):
        lines.append(f"at {count.done} of {count.of} {count.what}")
    if each := live.usual_seconds(rows, plan):
        further = plan.last_round - (rows[-1]["round"] if rows else -1)
        lines.append(f"about {live.duration(each * further)} left from the last {plan.unit} on")
    return lines


def _results(run: RunFolder, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The comparisons of a weak-to-strong run."""
    return list((run.summary() or {}).get("results") or (rows[-1].get("results") if rows else None) or ())


def _figures(rows: Sequence[Mapping[str, Any]], kind: str, whole: bool) -> Table:
    """A line for each round; `whole` with intervals."""
    from rich.table import Table
    from rich.text import Text

    from superalign.report import figures

    names = shown.headline(rows, kind)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("round", justify="right")
    for name in names:
        table.add_column(textwrap.fill(shown.title(name), HEADER), justify="right")
    for row in rows:
        found = [(name, figures.estimate(row, name)) for name in names]
        table.add_row(str(row["round"]), *(Text(shown.told(n, e, whole) if e else "-") for n, e in found))
    return table


def _real_text(rows: Sequence[Mapping[str, Any]], config: Mapping[str, Any], whole: bool) -> Table:
    """A line for each figure on real text, with its change since round 0; `whole` with intervals."""
    from rich.table import Table
    from rich.text import Text

    from superalign.report import real_text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("on real text")
    for title in ("before", "after", "change"):
        table.add_column(title, justify="right")
    for line in real_text.lines(rows, config):
        ends = [shown.told(line.metric, each, whole) if each else "-" for each in (line.before, line.after)]
        change = real_text.told_change(line) if whole else real_text.told_change(line).partition(" [")[0]
        table.add_row(*map(Text, (line.name, *ends, change or "-")))
    return table


def _studies(cells: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The comparisons of each study, by what it is called."""
    from superalign.report.cells import groups_of, study_of

    found: dict[str, list[Mapping[str, Any]]] = {}
    for cell in (each for group in groups_of(cells) for each in group):
        found.setdefault(f"{cell['task']}: {study_of(cell)}", []).append(cell)
    return found


def _methods(cells: Sequence[Mapping[str, Any]], whole: bool) -> Table:
    """A line for each method of a study."""
    from rich.table import Table
    from rich.text import Text

    from superalign.report.cells import PERFORMANCES, brief, estimate_of, method_of

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("method", overflow="fold", min_width=12)
    for title in ("weak", "weak to strong", "ceiling", "gap recovered"):
        table.add_column(title, justify="right", min_width=len(title))
    for cell in cells:
        found = [estimate_of(cell, name) for name in PERFORMANCES]
        told = [shown.told("pgr", each, whole) if each else "-" for each in found]
        recovered = estimate_of(cell, "pgr")
        told.append(shown.told("pgr", recovered, whole) if recovered else brief(cell["pgr"]))
        name = f"{method_of(cell)} (oracle)" if cell.get("oracle") else method_of(cell)
        table.add_row(*(Text(word) for word in (name, *told)))
    return table


def _last_line(path: Path) -> str:
    if not path.is_file():
        return ""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[-1] if lines else ""


def _changed(folder: Path) -> float:
    """When the run was last written, in seconds since the epoch."""
    for name in ("events.jsonl", "format"):
        if (path := folder / name).is_file():
            return path.stat().st_mtime
    return 0.0


def _ago(when: float) -> str:
    seconds = max(0.0, time.time() - when)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
