"""A run being written: exclusive, transactional by rounds, and resumable from the last committed one."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TextIO

from rich.console import Console

from superalign.errors import UserError
from superalign.store.clock import OTHER, TOTAL, StageClock
from superalign.store.clock import Plan as Plan
from superalign.store.digests import check_digests, write_digests
from superalign.store.disk import (
    append_lines,
    atomic_write,
    complete_lines,
    dump_json,
    fsync_path,
    fsync_tree,
    refused_writes_are_user_errors,
    write_if_other,
)
from superalign.store.folder import FORMAT, RunFolder
from superalign.store.live import RunProgress
from superalign.store.pins import Pin, Pinned
from superalign.store.redaction import seal
from superalign.store.refused_start import RefusedStart, asked_anybody
from superalign.store.run_lock import check_same_settings, locked_folder, run_name
from superalign.store.run_log import attach_log

MAY_STAND_BEFORE_START = frozenset({".lock", ".config.yaml.tmp", "config.yaml", ".format.tmp", "logs", "rounds"})
DERIVED = {"metrics.jsonl": "metrics.json", "samples.jsonl": "samples.jsonl"}


class RunWriter(RunFolder):
    """The one writer of a run folder.

    Use as a context manager. A round is written into the folder that `begin_round` returns and becomes part of the run
    by `commit_round`, wholly or not at all. metrics.jsonl and samples.jsonl are derived from the committed rounds.

    Attributes:
        settings: the resolved configuration.
        resumed: whether the folder held this run already.
    """

    def __init__(
        self,
        start: RefusedStart,
        settings: dict[str, Any],
        lock: TextIO,
        console: Console | None,
        plan: Plan,
        pins: Mapping[str, Pin],
    ) -> None:
        folder = start.folder
        super().__init__(folder)
        self.settings = settings
        self.plan = plan
        self._start, self._pinned = start, Pinned(pins)
        self._lock: TextIO | None = lock
        self._open_round: int | None = None
        self.resumed = (folder / "format").exists()
        with refused_writes_are_user_errors(folder, "opening the run"):
            self._prepare()
        goes = {"last_round": plan.last_round, "unit": plan.unit, "first": plan.first}
        self.event("resumed" if self.resumed else "started", last_round=self.last_round(), pid=os.getpid(), plan=goes)
        self._log_handler = attach_log(self.log_dir / "driver.log")
        self._clock = StageClock(plan.stages)
        self.progress = RunProgress(self.name, plan, console, self.log_dir, self.rows())

    @classmethod
    def create_or_resume(
        cls,
        config: Mapping[str, Any],
        root: str | Path,
        name: str | None = None,
        console: Console | None = None,
        plan: Plan | None = None,
        pins: Mapping[str, Pin] | None = None,
    ) -> RunWriter:
        """Start the run `name` under `root`, or take it up again; without a name, `<recipe>-<seed>-<timestamp>`.

        Args:
            config: the resolved configuration, as `Config.model_dump()` gives it.
            console: where progress is told; standard error by default.
            plan: how far the run goes; by default `rounds` rounds of self-play.
            pins: what the run depends on beside its settings, as it is now.

        Raises:
            UserError: the folder cannot be made, another process has the run open, another format version wrote it,
                its configuration differs (the message names the first differing key), something that is pinned has
                changed without `run.accept_changes`, or the disk is full. A folder that was made is removed again.
        """
        settings = json.loads(dump_json(config))  # tuples become lists, as they will read back
        folder = Path(root) / run_name(name, settings, Path(root))
        start, lock = RefusedStart(folder), None
        try:
            lock = locked_folder(folder)
            start.locked()
            return cls(start, settings, lock, console, plan or Plan(int(settings["rounds"])), pins or {})
        except BaseException as error:
            if isinstance(error, UserError):
                start.undo()
            if lock is not None:
                lock.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        refused = isinstance(error, UserError) and not self.resumed and self.last_round() is None
        # A message may say what is to be read there, and people's answers are not to be lost.
        if refused and str(self.log_dir) not in str(error) and not asked_anybody(self.experts_path):
            self.close(self._start.undo)
        else:
            self.close()

    def close(self, last: Callable[[], None] | None = None) -> None:
        """Release the lock, after `last`; an uncommitted round is dropped at the next opening."""
        if self._lock is not None:
            self.progress.close()
            logging.getLogger("superalign").removeHandler(self._log_handler)
            self._log_handler.close()
            if last is not None:
                last()
            self._lock.close()
            self._lock = None

    @property
    def complete(self) -> bool:
        """Whether every round asked for is committed and the final figures are written."""
        return self.summary() is not None and (self.last_round() or 0) >= self.plan.last_round

    def begin_round(self, round: int) -> Path:
        """An empty temporary folder for the round; a former attempt at the same round is dropped.

        Raises:
            ValueError: the round does not follow the last committed one.
        """
        last = self.last_round()
        following = 0 if last is None else last + 1
        if round != following:
            raise ValueError(f"round {round} cannot begin: the next round of {self.folder} is {following}")
        with refused_writes_are_user_errors(self.folder, f"beginning round {round}"):
            folder = self._temporary(round)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        self.event("round_begun", round=round)
        self._open_round = round
        self.progress.begin(round)
        return folder

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the block's time for a stage and say so; a full disk inside it is one clear line.

        Raises:
            UserError: the disk is full.
            ValueError: no such stage.
        """
        with self._clock.stage(name), refused_writes_are_user_errors(self.folder, f"in stage {name}"):
            self.progress.stage(name)
            yield

    def commit_round(
        self, round: int, row: Mapping[str, Any], samples: Sequence[Mapping[str, Any]] = ()
    ) -> dict[str, Any]:
        """Make the round part of the run, durably: fsync, one rename, then the derived files.

        Args:
            round: the round that `begin_round` opened.
            row: `metrics`, `counts`, `train`, and whatever else metrics.jsonl shall say; round and timing are added.
            samples: the most telling samples, extremes first; their texts are sealed before they are written.

        Returns:
            The row as it stands in metrics.jsonl.

        Raises:
            UserError: the disk is full; the round is dropped and can be done again, earlier rounds stand.
            ValueError: the round is not open.
        """
        if round != self._open_round:
            raise ValueError(f"round {round} is not open; open is {self._open_round}")
        temporary, final = self._temporary(round), self.round_path(round)
        written = {"round": round, **row, "timing": self._clock.take()}
        try:
            with refused_writes_are_user_errors(self.folder, f"committing round {round}"):
                atomic_write(temporary / "metrics.json", dump_json(written) + "\n")
                lines = [dump_json(seal({"round": round, **sample})) + "\n" for sample in samples]
                atomic_write(temporary / "samples.jsonl", "".join(lines))
                write_digests(temporary)
                fsync_tree(temporary)
                os.rename(temporary, final)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        finally:
            self._open_round = None
        with refused_writes_are_user_errors(self.folder, f"listing round {round}, which is committed"):
            fsync_path(self.rounds_dir)
            for derived, source in DERIVED.items():
                append_lines(self.folder / derived, complete_lines(final / source))
        self.progress.committed(written)
        return written

    def event(self, kind: str, **details: Any) -> None:
        """Note something that happened to the run itself, such as the loss of an actor."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        with refused_writes_are_user_errors(self.folder, "noting an event"):
            append_lines(self.folder / "events.jsonl", [dump_json({"time": stamp, "event": kind, **details})])

    def first_and_last(self) -> dict[str, dict[str, Any]]:
        """The first and the last value of every metric that the rows hold."""
        rows = self.rows()
        names = dict.fromkeys(name for row in rows for name in row["metrics"])
        measured = {name: [row["metrics"][name] for row in rows if name in row["metrics"]] for name in names}
        return {name: {"first": values[0], "last": values[-1]} for name, values in measured.items()}

    def finish(self, metrics: Mapping[str, Any], *, versions: Mapping[str, str], **facts: Any) -> dict[str, Any]:
        """Write summary.json: the final figures, time by stage, versions.

        Args:
            metrics: the figures under the names that readers know.
            facts: what else the summary shall say, for instance `judge`, in words a reader of the report understands.

        Raises:
            UserError: the disk is full.
        """
        rows, tail = self.rows(), self._clock.take()
        seconds = {
            name: sum(row["timing"].get(name, 0.0) for row in rows) + tail[name]
            for name in (*self.plan.stages, OTHER, TOTAL)
        }
        summary = {
            "recipe": self.settings["recipe"],
            "status": "complete",
            "seed": self.settings["seed"],
            "rounds": self.last_round(),
            **facts,
            "metrics": dict(metrics),
            "timing": {"total_s": seconds.pop(TOTAL), "stages": seconds},
            "versions": dict(versions),
        }
        with refused_writes_are_user_errors(self.folder, "writing summary.json"):
            atomic_write(self.summary_path, dump_json(summary, indent=2) + "\n")
        self.event("complete", rounds=summary["rounds"])
        return summary

    def _temporary(self, round: int) -> Path:
        return self.rounds_dir / f".tmp-{round:04d}"

    def _prepare(self) -> None:
        """Check what is there, write what is not, drop what a crash left."""
        import yaml

        if self.resumed:
            self.check_format()
            if (last := self.last_round()) is not None:  # before the first commit nothing rests on the settings
                check_same_settings(self.config(), self.settings, self.folder, last)
                accept = bool(self.settings["run"].get("accept_changes"))
                self._pinned = self.pinned().resumed(self._pinned.pins, accept, self.folder, last)
        elif strangers := sorted({path.name for path in self.folder.iterdir()} - MAY_STAND_BEFORE_START):
            raise UserError(f"{self.folder} exists and is no run folder (it holds {strangers[0]}): choose another name")
        self.rounds_dir.mkdir(exist_ok=True)
        self.log_dir.mkdir(exist_ok=True)
        # Changes are accepted once, not for ever.
        settings = {**self.settings, "run": {**self.settings["run"], "accept_changes": False}}
        told = yaml.safe_dump({**settings, **self._pinned.sections()}, sort_keys=False, allow_unicode=True)
        write_if_other(self.folder / "config.yaml", told)
        if not self.resumed:
            atomic_write(self.folder / "format", f"{FORMAT}\n")  # last: its presence says the folder is a whole run
        for stale in self.rounds_dir.glob(".tmp-*"):
            shutil.rmtree(stale)
        rounds = self.rounds()
        if rounds != list(range(len(rounds))):
            missing = next(number for number, found in enumerate(rounds) if number != found)
            raise UserError(f"{self.round_path(missing)} is missing though later rounds exist: restore it")
        for number in rounds:
            check_digests(self.round_path(number))
        for derived, source in DERIVED.items():
            lines = [line for number in rounds for line in complete_lines(self.round_path(number) / source)]
            write_if_other(self.folder / derived, "".join(line + "\n" for line in lines))
        events = complete_lines(self.folder / "events.jsonl")
        write_if_other(self.folder / "events.jsonl", "".join(line + "\n" for line in events))
        if not self.complete:
            self.summary_path.unlink(missing_ok=True)  # of fewer rounds than are asked for now
