"""`superalign stop RUN`: ends the run's job, or the process on this machine that trains it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from superalign.errors import UserError
from superalign.runtime.addresses import find_address
from superalign.store.folder import RunFolder
from superalign.store.run_lock import writer_of

LIMIT_S = 60.0
SLICE_S = 10.0


def stop(run: str, address: str | None, say: Callable[[str], object]) -> None:
    """Stop a run wherever it computes; nothing but the open round is lost.

    Raises:
        UserError: there is no such run, it computes where we cannot stop it, or it does not stop in time.
    """
    with contextlib.suppress(UserError):  # of several runs of that name the one that is here is meant
        run = str(RunFolder.open(run).folder.absolute())
    if find_address(address):
        from superalign.runtime.jobs import find_job, folder_of

        if of := find_job(run, address):
            cluster, job = of
            run = folder_of(job)
            if not job.status.is_terminal():
                ended = cluster.stop(job, say)
                how = ended.status.lower() if ended.status.is_terminal() else "stops as soon as it starts"
                say(f"job {job.submission_id} {how}; superalign submit with the same settings resumes the run")
                return
    opened = RunFolder.open(run)
    writer = writer_of(opened.folder)
    if writer is None:
        say(f"{opened.folder} is not running: nothing to stop")
        return
    _end(writer, opened.folder / ".lock", say)
    say(f"process {writer} stopped; superalign train run.name={opened.name} with the same settings resumes the run")


def _end(pid: int, lock: Path, say: Callable[[str], object]) -> None:
    """SIGTERM, and not SIGINT, which shells have their background jobs ignore."""
    try:
        process = psutil.Process(pid)  # from here on it is refused when another process has got the number
        ours = any(Path(file.path) == lock.resolve() for file in process.open_files())
    except psutil.Error:
        ours = False
    if not ours:
        raise UserError(
            f"{lock.parent} is written by process {pid}, which is another user's or on another machine: stop it there, "
            "or give --address of the cluster that runs its job"
        )
    process.terminate()
    began = time.monotonic()
    while True:
        try:
            process.wait(SLICE_S)
            return
        except psutil.TimeoutExpired:
            waited = time.monotonic() - began
            if waited >= LIMIT_S:
                raise UserError(
                    f"process {pid} has not stopped within {waited:.0f} s; it can be killed, rounds are transactions: "
                    f"kill -9 {pid}"
                ) from None
            say(f"waiting {waited:.0f} s for process {pid} to stop")
