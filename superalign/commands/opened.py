"""What `status`, `logs` and `samples` look at: the folder of a run, or the job of one that has no folder yet."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from superalign.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from superalign.runtime.jobs import JobDetails, Jobs
    from superalign.store.folder import RunFolder

TAIL_LINES: Final = 40
WIDE: Final = 240  # cells


def open_run_or_job(run: str | Path, address: str | None) -> RunFolder | tuple[Jobs, JobDetails]:
    """The folder of a run, also where only its job knows it; the job where there is no folder yet.

    Raises:
        UserError: there is neither.
    """
    from superalign.store.folder import RunFolder

    try:
        return RunFolder.open(run)
    except UserError:
        if (job := job_of(run, address)) is None:
            raise
        from superalign.runtime.jobs import folder_of

        folder = Path(folder_of(job[1]))
        return RunFolder.open(folder) if (folder / "format").is_file() else job


def job_of(run: str | Path, address: str | None) -> tuple[Jobs, JobDetails] | None:
    """The newest job of a run, where a cluster is known that has one."""
    from superalign.runtime.addresses import find_address

    if find_address(address) is None:
        return None
    from superalign.runtime.jobs import find_job

    return find_job(run, address)


def tell_job(jobs: Jobs, job: JobDetails, console: Console, lines: int = TAIL_LINES) -> None:
    """Print the state of a job and the last lines of its log."""
    log = [] if job.status == "STOPPED" else jobs.log(job).splitlines()[-lines:]  # then it is of how it was stopped
    reason = "" if log else f": {' '.join((job.message or '').split())}"
    say(console, f"job {job.submission_id} of the run: {job.status.lower()}{printable(reason)}")
    for line in log:
        say(console, f"  {printable(line)}")


def screen() -> Console:
    """Standard output. A pipe or file has no width to keep to: a line stays one line, who reads it may search it."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(width=WIDE)


def fitting(console: Console, make: Callable[[bool], Table]) -> Table:
    """The table with intervals, or without where the terminal is too narrow for them."""
    whole = make(True)
    needs = console.measure(whole, options=console.options.update(width=WIDE)).maximum
    return whole if needs <= console.width else make(False)


def printable(text: str) -> str:
    """The text without control characters, which a model could use to take over a terminal."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def say(console: Console, line: str) -> None:
    """Print a line as it is."""
    from rich.text import Text

    console.print(Text(line), soft_wrap=True)
