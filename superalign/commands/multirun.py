"""`superalign train --multirun`: a run for each combination of values, each in a process of its own."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from superalign.commands import shown
from superalign.commands.opened import fitting, screen

if TYPE_CHECKING:
    from rich.table import Table

COMMAND: Final = (sys.executable, "-m", "superalign.commands.main", "train")
NAME: Final = "run.name="
LEAVE_S: Final = (10.0, 50.0)  # for which a run may go on after the first interruption, and after the second
COLUMNS: Final = 6  # of figures


@dataclass
class _Processes:
    """The processes of a sweep."""

    running: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    stopped: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, name: str, words: Sequence[str], together: bool) -> int | None:
        """Run one to its end; its exit code, or None where all were stopped before it began.

        Of several that go on together each line is told with the run's name.
        """
        with self.lock:
            if self.stopped:
                return None
            print(f"run {name}: superalign train {shlex.join(words)}", flush=True)
            # A session of its own: an interruption reaches it once, and from here.
            process = subprocess.Popen(
                [*COMMAND, *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if together else None,
                stderr=subprocess.STDOUT if together else None,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            self.running[name] = process
        if process.stdout is not None:
            _tell(name, process.stdout)
        code = process.wait()
        with self.lock:
            del self.running[name]
        if code and not self.stopped:
            print(f"run {name} {_end(code)}", file=sys.stderr, flush=True)
        return code

    def stop(self) -> None:
        """Interrupt those that go on, twice if need be; whoever takes too long to leave is killed.

        Python misses an interruption that comes between its last look for one and a call that waits.
        """
        with self.lock:
            self.stopped = True
            going = list(self.running.values())
        for patience in LEAVE_S:
            until = time.monotonic() + patience
            for process in going:
                process.send_signal(signal.SIGINT)
            for process in going:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, until - time.monotonic()))
        for process in going:
            process.kill()


def run_all(runs: Mapping[str, Sequence[str]], jobs: int) -> int:
    """Do every run of a sweep, `jobs` at a time; a table at the end. 0 if all went well, else 1."""
    processes = _Processes()
    with ThreadPoolExecutor(jobs) as pool:
        futures = {name: pool.submit(processes.run, name, words, jobs > 1) for name, words in runs.items()}
        try:
            codes = {name: future.result() for name, future in futures.items()}
        except KeyboardInterrupt:
            processes.stop()
            raise
    _table(runs, codes)
    return int(any(codes.values()))


def named(runs: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    """The settings of each run of a sweep by the run's name."""
    return {[w for w in words if w.startswith(NAME)][-1].removeprefix(NAME): list(words) for words in runs}


def _tell(name: str, output: IO[str]) -> None:
    for line in output:
        print(f"{name}: {line}", end="", flush=True)


def _table(runs: Mapping[str, Sequence[str]], codes: Mapping[str, int | None]) -> None:
    """One row for each run: what varied, how it ended, the headline figures after its last round."""
    console = screen()
    rows = {name: _last_row(words, name) for name, words in runs.items()}
    console.print(fitting(console, partial(_compared, runs, codes, rows)))


def _compared(
    runs: Mapping[str, Sequence[str]],
    codes: Mapping[str, int | None],
    rows: Mapping[str, Mapping[str, Any]],
    whole: bool,
) -> Table:
    """The table; `whole` with intervals."""
    from rich.table import Table

    from superalign.report import figures

    names = _headline(list(rows.values()))
    common = set[str].intersection(*(set(words) for words in runs.values()))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("run", "what varied", "end", *(shown.title(name) for name in names)):
        table.add_column(title, overflow="fold")
    for name, words in runs.items():
        varied = " ".join(word for word in words if word not in common and not word.startswith(NAME))
        found = [(each, figures.estimate(rows[name], each)) for each in names]
        cells = [shown.told(each, figure, whole) if figure else "-" for each, figure in found]
        table.add_row(name, varied, _end(codes[name]), *cells)
    return table


def _end(code: int | None) -> str:
    """How a run ended, in words."""
    from superalign.report.learning import EXIT_STATUS

    if code is None:
        return "not begun"
    return {0: "complete", EXIT_STATUS: "learned nothing"}.get(code, f"failed with exit code {code}")


def _last_row(words: Sequence[str], name: str) -> Mapping[str, Any]:
    from superalign.config.compose import load
    from superalign.store.folder import RunFolder

    run = RunFolder(Path(load(words).run.root) / name)
    rows = run.rows() if (run.folder / "format").is_file() else []
    return rows[-1] if rows else {}


def _headline(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The figures worth a column: those that a report begins with, else whatever was measured."""
    from superalign.report import figures, recipes

    measured = list(dict.fromkeys(name for row in rows for name in row.get("metrics", {})))
    known = dict.fromkeys(name for tiles in (figures.HEADLINE, *recipes.TILES.values()) for name, *_ in tiles)
    return ([name for name in known if name in measured] or measured)[:COLUMNS]
