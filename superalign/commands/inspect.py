"""`superalign status|logs|samples`: what a run is doing, as text.

A run that was submitted is read from its folder, too; its job tells what the folder cannot: that it waits for the
cluster, or how it failed before there was a folder.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from superalign.commands.parser import Verbs, add_address
from superalign.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from superalign.runtime.jobs import JobDetails, Jobs
    from superalign.store.folder import RunFolder

POLL_SECONDS: Final = 0.5
TAIL_LINES: Final = 40
STATUS_LINES: Final = 5  # of a job's log


def register(verbs: Verbs) -> None:
    """Add the verbs to the command line."""
    parser = verbs.add("status", inspect, "progress of a run, its figures, and time by stage", action="status")
    parser.add_argument("run", metavar="RUN")
    add_address(parser)
    parser = verbs.add("logs", inspect, "the logs of the run's processes", action="logs")
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--actor", help="only this process, for example critic")
    parser.add_argument("--follow", action="store_true", help="keep printing new lines as they are written")
    add_address(parser)
    parser = verbs.add("samples", inspect, "example answers of the last evaluation, texts hidden", action="samples")
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--reveal", action="store_true", help="show the text; it may be harmful")
    parser.add_argument("-n", type=int, default=10, help="how many (default: %(default)s)")


def inspect(arguments: argparse.Namespace) -> int:
    """Show a run's progress, logs or samples."""
    from rich.console import Console

    run, console = arguments.run, Console()
    if arguments.action == "status":
        status(run, console, address=arguments.address)
    elif arguments.action == "logs":
        logs(run, console, actor=arguments.actor, follow=arguments.follow, address=arguments.address)
    else:
        samples(run, console, reveal=arguments.reveal, limit=arguments.n)
    return 0


def status(run: str | Path, console: Console, address: str | None = None) -> None:
    """State, figures by round, and what would go on next.

    Raises:
        UserError: there is no such run, nor a job of one on the cluster at `address` or known here.
    """
    from superalign.store.run_lock import writer_of

    opened = _opened(run, address)
    if isinstance(opened, tuple):
        return _tell_job(*opened, console, STATUS_LINES)
    rows, config, writer = opened.rows(), opened.config(), writer_of(opened.folder)
    done = rows[-1]["round"] if rows else None
    job = None
    if (summary := opened.summary()) is None and writer is None:
        try:
            job = _job(opened.folder.absolute(), address)
        except UserError as gone:
            _say(console, str(gone))
    if summary is not None:
        state = f"stopped by a guard: {summary['stopped']}" if summary.get("stopped") else "complete"
    elif writer is not None:
        state = f"running as process {writer}"
    elif job is not None and not job[1].status.is_terminal():
        state = f"{job[1].status.lower()} as job {job[1].submission_id}"
    else:
        verb = "train" if job is None else "submit"
        state = f"stopped; superalign {verb} run.name={opened.name} with the same settings resumes it"
    reached = "before round 0" if done is None else f"round {done} of {config['rounds']}"
    _say(console, f"{opened.folder}: {reached}, {state}")
    if writer is not None and (last := _last_line(opened.log_dir / "driver.log")):
        _say(console, f"now: {last}")
    lost = sum(event["event"] == "actor_lost" for event in opened.events())
    if lost:
        _say(console, f"actors lost and replaced so far: {lost}")
    if rows:
        console.print(_figures(rows))
    if job is not None:
        _tell_job(*job, console, STATUS_LINES)


def _figures(rows: list[dict[str, object]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    from superalign.report import figures
    from superalign.stats.format import interval, number

    shown = [name for name, *_ in figures.HEADLINE if any(figures.estimate(row, name) for row in rows)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("round", justify="right")
    for name in shown:
        table.add_column(name.removesuffix("_rate").replace("_rate_", "_").replace("_", " "), justify="right")
    for row in rows:
        cells = [figures.estimate(row, name) for name in shown]
        texts = [f"{number(e.value, '%')} [{interval(e, '%')}]" if e else "-" for e in cells]
        table.add_row(str(row["round"]), *(Text(text) for text in texts))
    return table


def logs(
    run: str | Path, console: Console, actor: str | None = None, follow: bool = False, address: str | None = None
) -> None:
    """The last lines of one actor's log, or of every log; with `follow`, new lines as they come until interrupted.

    Raises:
        UserError: there is no such run, job or log; the message names those that exist.
    """
    opened = _opened(run, address)
    if isinstance(opened, tuple):
        jobs, job = opened
        if not follow:
            return _tell_job(jobs, job, console)
        jobs.follow(str(job.submission_id), lambda line: _say(console, printable(line)))
        return None
    names = sorted(path.stem for path in opened.log_dir.glob("*.log"))
    if actor is not None and actor not in names:
        raise UserError(f"no log of {actor!r} in {opened.log_dir}; there are: {', '.join(names) or 'none yet'}")
    chosen = [opened.log_dir / f"{name}.log" for name in ([actor] if actor else names)]
    if not chosen:
        _say(console, f"no logs in {opened.log_dir} yet")
    for path in chosen:
        if len(chosen) > 1:
            _say(console, f"── {path.name}")
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]:
            _say(console, line)
    if follow:
        for path, line in new_lines(chosen):
            _say(console, f"{path.stem}: {line}" if len(chosen) > 1 else line)


def new_lines(paths: list[Path]) -> Iterator[tuple[Path, str]]:
    """Whole lines as they are appended, without end; begins at the present end of each file."""
    places = {path: path.stat().st_size for path in paths}
    while True:
        quiet = True
        for path, place in places.items():
            with open(path, "rb") as handle:
                handle.seek(place)
                fresh = handle.read()
            whole = fresh[: fresh.rfind(b"\n") + 1]
            places[path] = place + len(whole)
            for line in whole.decode(errors="replace").splitlines():
                quiet = False
                yield path, line
        if quiet:
            time.sleep(POLL_SECONDS)


def samples(run: str | Path, console: Console, reveal: bool = False, limit: int = 10) -> None:
    """Example answers of the last evaluation, their texts covered unless `reveal`.

    Raises:
        UserError: there is no such run, or the limit is below 1.
    """
    from rich.text import Text

    from superalign.report import figures
    from superalign.stats.format import number
    from superalign.store.folder import RunFolder
    from superalign.store.redaction import TEXT_FIELDS, placeholder, unseal

    if limit < 1:
        raise UserError(f"-n {limit}: at least 1 sample has to be asked for")
    opened = RunFolder.open(run)
    chosen = figures.select_samples(opened.samples(), limit)
    if not chosen:
        _say(console, f"no samples in {opened.folder} yet")
    for sealed in chosen:
        row = unseal(sealed)
        p, gold = row.get("p"), row.get("gold")
        verdicts = [f"critic {number(p, '%')} acceptable"] if p is not None else []
        verdicts += [f"judge {'acceptable' if gold >= 0.5 else 'not acceptable'}"] if gold is not None else []
        about = [f"round {row['round']}", row.get("kind"), row.get("tactic"), row.get("why"), *verdicts]
        console.print(Text(" · ".join(str(part).replace("_", " ") for part in about if part), style="bold"))
        for name in TEXT_FIELDS:
            text = row[name] if reveal else placeholder(row[name])
            console.print(Text(f"  {name:<9} ", style="dim") + Text(printable(text)))
    if chosen and not reveal:
        _say(console, "texts are covered because they can be harmful; --reveal shows them")


def printable(text: str) -> str:
    """The text without control characters, which a model could use to take over a terminal."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def _opened(run: str | Path, address: str | None) -> RunFolder | tuple[Jobs, JobDetails]:
    """The folder of a run, also where only its job knows it; the job where there is no folder yet.

    Raises:
        UserError: there is neither.
    """
    from superalign.store.folder import RunFolder

    try:
        return RunFolder.open(run)
    except UserError:
        if (job := _job(run, address)) is None:
            raise
        from superalign.runtime.jobs import folder_of

        folder = Path(folder_of(job[1]))
        return RunFolder.open(folder) if (folder / "format").is_file() else job


def _job(run: str | Path, address: str | None) -> tuple[Jobs, JobDetails] | None:
    """The newest job of a run, where a cluster is known that has one."""
    from superalign.runtime.addresses import find_address

    if find_address(address) is None:
        return None
    from superalign.runtime.jobs import find_job

    return find_job(run, address)


def _tell_job(jobs: Jobs, job: JobDetails, console: Console, lines: int = TAIL_LINES) -> None:
    log = [] if job.status == "STOPPED" else jobs.log(job).splitlines()[-lines:]  # then it is of how it was stopped
    reason = "" if log else f": {' '.join((job.message or '').split())}"
    _say(console, f"job {job.submission_id} of the run: {job.status.lower()}{printable(reason)}")
    for line in log:
        _say(console, f"  {printable(line)}")


def _last_line(path: Path) -> str:
    if not path.is_file():
        return ""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[-1] if lines else ""


def _say(console: Console, line: str) -> None:
    from rich.text import Text

    console.print(Text(line), soft_wrap=True)
