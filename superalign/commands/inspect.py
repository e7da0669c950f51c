"""`superalign status|logs|samples`: what a run is doing, as text.

A run that was submitted is read from its folder, too; its job tells what the folder cannot: that it waits for the
cluster, or how it failed before there was a folder.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from superalign.commands.opened import TAIL_LINES, open_run_or_job, printable, say, screen, tell_job
from superalign.commands.parser import Verbs, add_address
from superalign.commands.status import list_runs, status
from superalign.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from superalign.store.folder import RunFolder

POLL_SECONDS: Final = 0.5


def register(verbs: Verbs) -> None:
    """Add the verbs to the command line."""
    parser = verbs.add(
        "status", inspect, "progress of a run, its figures, and time by stage; without RUN a list", action="status"
    )
    parser.add_argument("run", metavar="RUN", nargs="?", help="without it, all runs are listed")
    parser.add_argument("--root", default="runs", help="folder of the runs that are listed (default: %(default)s)")
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
    """Show a run's progress, logs or samples, or all runs."""
    run, console = arguments.run, screen()
    if arguments.action == "status":
        if run is None:
            list_runs(arguments.root, console)
        else:
            status(_below(run, arguments.root), console, address=arguments.address)
    elif arguments.action == "logs":
        logs(run, console, actor=arguments.actor, follow=arguments.follow, address=arguments.address)
    else:
        samples(run, console, reveal=arguments.reveal, limit=arguments.n)
    return 0


def _below(run: str, root: str) -> str:
    """A run by its name below another root than the usual one."""
    below = Path(root).expanduser() / run
    return str(below) if not Path(run).is_dir() and (below / "format").is_file() else run


def logs(
    run: str | Path, console: Console, actor: str | None = None, follow: bool = False, address: str | None = None
) -> None:
    """The last lines of one actor's log, or of every log; with `follow`, new lines as they come until interrupted.

    Raises:
        UserError: there is no such run, job or log; the message names those that exist.
    """
    opened = open_run_or_job(run, address)
    if isinstance(opened, tuple):
        jobs, job = opened
        if not follow:
            return tell_job(jobs, job, console)
        jobs.follow(str(job.submission_id), lambda line: say(console, printable(line)))
        return None
    names = sorted(path.stem for path in opened.log_dir.glob("*.log"))
    if actor is not None and actor not in names:
        raise UserError(f"no log of {actor!r} in {opened.log_dir}; there are: {', '.join(names) or 'none yet'}")
    chosen = [opened.log_dir / f"{name}.log" for name in ([actor] if actor else names)]
    if not chosen:
        say(console, f"no logs in {opened.log_dir} yet")
    for path in chosen:
        if len(chosen) > 1:
            say(console, f"── {path.name}")
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]:
            say(console, line)
    if follow:
        for path, line in new_lines(chosen):
            say(console, f"{path.stem}: {line}" if len(chosen) > 1 else line)


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
    chosen = figures.select_samples(opened.samples() or _from_records(opened), limit)
    if not chosen:
        say(console, _no_samples(opened))
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
        say(console, "texts are covered because they can be harmful; --reveal shows them")


def _from_records(run: RunFolder) -> list[dict[str, Any]]:
    """Of a recipe that keeps records but no samples: the answers of its last round that the critic criticised."""
    from superalign.evaluation.samples import criticised
    from superalign.store.lineage import TABLES
    from superalign.store.tables import read_records, table_path

    names = ("queries", "responses", "critiques", "judgements")
    last = run.last_round()
    if last is None or not all(table_path(run.round_path(last), name).is_file() for name in names):
        return []
    tables: list[list[Any]] = [read_records(run.round_path(last), name, TABLES[name]) for name in names]
    return [
        {
            "round": last,
            "query": each.query.text,
            "response": each.response.text,
            "critique": each.critique,
            "kind": each.query.kind,
            "tactic": each.query.tactic,
            "p": each.p,
            "why": "criticised in the round",
        }
        for each in criticised(*tables)
    ]


def _no_samples(run: RunFolder) -> str:
    """Why a run has none: a recipe that keeps any writes them with every round."""
    if not run.rounds():
        return f"no samples in {run.folder} yet"
    recipe, tables = run.config()["recipe"], sorted({path.name for path in run.rounds_dir.glob("*/*.parquet")})
    where = f"; its records are in {run.rounds_dir}/*/: {', '.join(tables)}" if tables else ""
    return f"{run.folder} has no samples: recipe={recipe} keeps none{where}"
