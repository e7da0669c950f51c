"""Telling the person who waits: a live line on a terminal, plain lines anywhere else."""

from __future__ import annotations

import logging
import statistics
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from superalign.store import progress
from superalign.store.clock import TOTAL, Plan, headline

SET_UP: Final = "setting up"
BAR: Final = 12  # cells
RECENT: Final = 5  # rounds that tell how long the next ones take
TELLING: Final = 0.1  # of the first round, from which on it tells how long rounds take
SOON_S: Final = 2.0  # before which nothing is told from a share
QUIET_S: Final = 60.0  # after which a line tells where the run is, off a terminal
WIDEST: Final = 240  # cells of such a line
log = logging.getLogger("superalign.run")


class RunProgress:
    """Shows where a run is; the log file always gets the lines.

    Args:
        name: of the run.
        plan: how far it goes.
        console: standard error by default.
        log_dir: where the actors tell how far they are.
        rows: of the rounds that are done, which tell how long others take.
    """

    def __init__(
        self,
        name: str,
        plan: Plan,
        console: Console | None = None,
        log_dir: Path | None = None,
        rows: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.console = console or Console(stderr=True)
        self.plan, self._name, self._log_dir = plan, name, log_dir
        self._rows = list(rows)
        self._round: int | None = None
        self._doing = SET_UP
        self._seen: list[str] = []
        self._outside: set[str] = set()  # stages that go on outside of rounds
        self._count: progress.Count | None = None
        self._began = self._round_began = self._stage_began = time.time()
        self._live: Live | None = None
        self._write = progress.to_file(log_dir / "driver.log") if log_dir else None
        progress.tell_to(self._keep)
        self._said, self._closed = time.monotonic(), threading.Event()
        if self.console.is_terminal:
            self._spinner = Spinner("dots")
            self._live = Live(get_renderable=self._shown, console=self.console, transient=True, refresh_per_second=5)
            self._live.start()
        else:
            threading.Thread(target=self._tell_regularly, name="progress", daemon=True).start()

    def say(self, line: str, on_terminal: str | None = None) -> None:
        """Tell the person and the log one line; on a terminal another, if there is one."""
        log.info(line)
        self._said = time.monotonic()
        if self._live:
            self._live.console.print(on_terminal or line, markup=False, highlight=False)
        else:  # a line stays one line: who reads it may search it
            stamped = f"{time.strftime('%H:%M:%S')} {line}"
            self.console.print(stamped, markup=False, highlight=False, soft_wrap=True)

    def begin(self, round: int) -> None:
        """A round begins."""
        self._round, self._round_began, self._seen = round, time.time(), []

    def stage(self, name: str) -> None:
        """A stage began."""
        if self._round is None:
            self._outside.add(name)
            self.doing(name.replace("_", " "))
            return
        log.info("%s %d: %s", self.plan.unit, self._round + self.plan.first, name)
        if name not in self._seen:
            self._seen.append(name)
        self.doing(name.replace("_", " "))

    def doing(self, what: str) -> None:
        """Say what is done now, in words."""
        self._doing, self._stage_began, self._count = what, time.time(), None

    def committed(self, row: Mapping[str, Any]) -> None:
        """A round is safe on disk."""
        done = f"{self.plan.unit} {row['round'] + self.plan.first}/{self.plan.last_round + self.plan.first}"
        told, short = (f"{done}  {headline(row, whole)}" for whole in (True, False))
        self.say(told, told if cell_len(told) < self.console.width else short)
        spent = time.time() - self._round_began  # what was set up before it took time once, and not again
        self._rows.append({"round": row["round"], "timing": {TOTAL: spent}})
        self._round = None
        self.doing("between rounds")

    def close(self) -> None:
        """Leave the terminal as it was."""
        progress.tell_to(None)
        self._closed.set()
        for path in self._log_dir.glob(f"*{progress.SUFFIX}") if self._log_dir else ():
            path.unlink(missing_ok=True)
        if self._live is not None:
            self._live.stop()
            self._live = None

    def line(self, width: int) -> str:
        """Where the run is in at most `width` cells: what matters least is left out first."""
        now, count = time.time(), self._counted()
        where = [self._place()] if self._round is not None else []
        counted = f"{self._doing} {count.done}/{count.of} {count.what}" if count else self._doing
        bar = [_bar(count.done / count.of)] if count and count.of else []
        spent = _clock(now - self._began)
        left = [f"about {duration(seconds)} left{of}" for seconds, of in self._left(now, count)]
        for parts in (
            [self._name, *where, counted, *bar, spent, *left],
            [self._name, *where, counted, spent, *left],
            [*where, counted, spent, *left],
            [*where, counted, *left],
            [*where, self._doing, *left],
        ):
            if cell_len(told := " · ".join(parts)) <= width:
                return told
        return told[: max(0, width - 1)] + "…"

    def _tell_regularly(self) -> None:
        """Say where the run is whenever nothing has been said for a while."""
        while not self._closed.wait(max(0.0, self._said + QUIET_S - time.monotonic())):
            if time.monotonic() >= self._said + QUIET_S:
                self.say(self.line(WIDEST))

    def _shown(self) -> RenderableType:
        # The spinner takes two cells; the last column stays free, where some terminals wrap already.
        self._spinner.update(text=Text(self.line(self.console.width - 3), no_wrap=True, overflow="ellipsis"))
        return self._spinner

    def _place(self) -> str:
        first = self.plan.first
        return f"{self.plan.unit} {(self._round or 0) + first} of {self.plan.last_round + first}"

    def _keep(self, count: progress.Count) -> None:
        self._count = count
        if self._write:  # for `superalign status` in another process
            self._write(count)

    def _counted(self) -> progress.Count | None:
        """How far this stage is, by this process or by an actor."""
        if self._count is not None:
            return self._count
        return progress.newest(self._log_dir, self._stage_began) if self._log_dir else None

    def _left(self, now: float, count: progress.Count | None) -> Iterator[tuple[float, str]]:
        """Seconds left and of what: by earlier rounds, or by how far the first one is; nothing while neither tells."""
        share = count.done / count.of if count and count.of else 0.0
        if self._round is not None and _is_usual(self._round, self.plan):
            spent, further = now - self._round_began, self.plan.last_round - self._round
            if each := usual_seconds(self._rows, self.plan):
                yield max(0.0, each - spent) + further * each, ""
                return
            unseen = set(self.plan.stages) - set(self._seen) - self._outside
            done = (max(0, len(self._seen) - 1) + share) / (max(1, len(self._seen)) + len(unseen))
            if done >= TELLING and spent >= SOON_S:
                each = spent / done
                yield each - spent + further * each, ""
                return
        if share >= TELLING and (spent := now - self._stage_began) >= SOON_S:
            yield spent * (1 - share) / share, " of this stage"


def usual_seconds(rows: Sequence[Mapping[str, Any]], plan: Plan) -> float | None:
    """What a round takes by the newest that are done, their median; None where none of them tells."""
    took = [row["timing"][TOTAL] for row in rows if _is_usual(row["round"], plan)][-RECENT:]
    return statistics.median(took) if took else None


def _is_usual(round: int, plan: Plan) -> bool:
    """Whether a round is like those to come: round 0 of most recipes is not, it comes before any training."""
    return bool(round) or bool(plan.first)


def duration(seconds: float) -> str:
    """A duration that is not exact: `5 s`, `40 s`, `12 min`, `1.5 h`."""
    if seconds < 90:
        return f"{max(5, 5 * round(seconds / 5))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _bar(share: float) -> str:
    full = round(BAR * min(1.0, share))
    return "━" * full + "─" * (BAR - full)
