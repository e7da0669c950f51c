"""One run under faults: its driver is submitted again until the run ends, while a scripted expert answers beside it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from superalign.store.folder import RunFolder
from tests.smallest import SMALL, SMALLER

REPOSITORY = Path(__file__).parents[2]
ROLES = ("generator", "trainer", "attacker", "critic", "learner")
ROUNDS = 2
CALL_TIMEOUT_S = float(os.environ.get("SUPERALIGN_TEST_CALL_TIMEOUT_S", "20"))  # more, where the machine is busy
SUBMISSIONS = 8
LOOK_S, SCAN_S = 0.05, 0.5
SESSION = re.compile(r"/tmp/superalign-ray-\w+")
DISK_BYTES = 48 * 2**20
SETTINGS = (
    *("recipe=selfplay", f"rounds={ROUNDS}", *SMALL, *SMALLER),
    *("expert.source=queue", "expert.wait=true", "expert.wait_timeout_s=120", "expert.budget=8"),
)
ON_RAY = ("cluster=laptop", f"cluster.call_timeout_s={CALL_TIMEOUT_S:g}")
PLACES = {
    "inline": ("cluster=inline",),
    "disk": ("cluster=inline",),  # on a small file system of its own
    "ray": ON_RAY,
    # A Ray of two nodes of one CPU each: the engine has one, the trainer the other.
    "nodes": (*ON_RAY, "cluster.placement=split", "cluster.accelerator=CPU", "cluster.place_timeout_s=120"),
}


class OutOfTime(Exception):
    """A trial took longer than it may."""


@dataclass(frozen=True)
class End:
    """How one submission of the driver ended."""

    code: int
    said: str

    @property
    def error(self) -> str | None:
        """The one line that says what was wrong; None if there is none, or a traceback."""
        lines = [line for line in self.said.splitlines() if line.strip()]
        told = [line for line in lines if line.startswith("superalign: ")]
        clear = self.code in (1, 2) and "Traceback" not in self.said and told == lines[-1:]
        return told[0] if clear else None


class Trial:
    """A short self-play run and everything that belongs to it; use as a context manager.

    Attributes:
        kin: every process that the run ever had below the driver, as far as it was seen.
        ends: how the submissions of the driver ended, in order.
        faults: one entry for every fault injected: its kind, and what was done.
        sessions: the folders of Ray that were made for the run.
    """

    def __init__(self, folder: Path, place: str, limit_s: float) -> None:
        self.folder, self.place, self.end = folder, place, time.monotonic() + limit_s
        self.run = run_in(folder)
        self.root = self.run.folder.parent
        self.root.mkdir(parents=True)
        self.acknowledged, self.order = folder / "acknowledged.txt", folder / "order.txt"
        self.kin: dict[int, psutil.Process] = {}
        self.ends: list[End] = []
        self.faults: list[tuple[str, str]] = []
        self.sessions: set[Path] = set()
        self.driver: subprocess.Popen[bytes] | None = None
        self.expert: subprocess.Popen[bytes] | None = None
        self.nodes: subprocess.Popen[str] | None = None
        self.second_node: int | None = None
        self._where: tuple[str, ...] = PLACES[place]
        self._before, self._scanned, self._over = 0, 0.0, False

    def __enter__(self) -> Trial:
        if self.place == "disk":
            size = f"size={DISK_BYTES}"
            subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(self.root)], check=True)
        try:
            if self.place == "nodes":
                self._start_nodes()
            self._start_expert()
            self.submit()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in (self.driver, self.expert):
            if process:
                process.kill()
                process.wait()
        self.end_nodes()
        for process in self.alive(0.0):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        if self.place == "disk":
            subprocess.run(["umount", "-l", str(self.root)], check=True)

    def submit(self) -> None:
        """Start the driver, always with the same command."""
        command = [sys.executable, "-m", "superalign.commands.main", "train", *SETTINGS, *self._where]
        command += [f"run.root={self.root}", "run.name=run"]
        self._before = len(self._log())
        self._stderr = self.folder / f"submission-{len(self.ends)}.txt"
        with open(self._stderr, "wb") as stderr:
            self.driver = subprocess.Popen(
                command, cwd=REPOSITORY, env=_environment(self.place), stdout=subprocess.DEVNULL, stderr=stderr
            )

    def go_on(self) -> bool:
        """Look after the run for a moment; whether it goes on, submitted again if its driver ended before the run did.

        Raises:
            OutOfTime: the trial has taken too long.
        """
        assert self.driver and self.expert
        if self._over:
            return False
        if time.monotonic() > self.end:
            raise OutOfTime(f"the run had not ended within its time; the driver said: {self._said()[-500:]}")
        if self.expert.poll() is not None:
            self._start_expert()
        if self.driver.poll() is not None:
            self._over = self.note_end().code == 0 or len(self.ends) >= SUBMISSIONS
            if self._over:
                return False
            self.submit()
        if time.monotonic() > self._scanned + SCAN_S:
            self.scan()
        time.sleep(LOOK_S)
        return True

    def finish(self) -> None:
        """Go on until the run is complete, or was submitted as often as it may be."""
        while self.go_on():
            pass

    def note_end(self) -> End:
        """Wait for the end of the driver and note it.

        Raises:
            OutOfTime: it does not end.
        """
        assert self.driver
        try:
            code = self.driver.wait(max(1.0, self.end - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise OutOfTime("the driver did not end") from None
        end = End(code, self._said())
        self.ends.append(end)
        return end

    def kill_driver(self) -> None:
        """SIGKILL the driver; nothing is submitted again yet."""
        assert self.driver
        self.scan()
        self.driver.kill()
        self.note_end()

    def reach(self, round: int, stage: str, delay_s: float) -> bool:
        """Go on until a stage of a round has begun (or a later round), and for a while more; False if the run ends."""
        while self.go_on():
            if any(found == (round, stage) or found[0] > round for found in self._stages()):
                late = time.monotonic() + delay_s
                while time.monotonic() < late:
                    if not self.go_on():
                        return False
                return True
        return False

    def actor(self, role: str) -> int | None:
        """The process of an actor, waited for until it stands; None if the run ends before."""
        log = self.run.log_dir / f"{role}.log"
        while self.go_on():
            text = log.read_text(errors="replace") if log.is_file() else ""
            pids = [int(pid) for pid in re.findall(rf"{role} starts: pid (\d+)", text)]
            if pids and pids[-1] in self.scan():  # nobody else's process is ever touched
                return pids[-1]
        return None

    def scan(self) -> set[int]:
        """Note the processes that the run has now; returns their ids."""
        self._scanned, found = time.monotonic(), set[int]()
        for root in (self.driver, self.nodes):
            with suppress(psutil.NoSuchProcess):
                for process in psutil.Process(root.pid).children(recursive=True) if root else ():
                    if self.kin.get(process.pid) != process:
                        self.kin[process.pid] = process
                        self.sessions |= set(map(Path, SESSION.findall(_title(process))))
                    found.add(process.pid)
        return found

    def alive(self, limit_s: float, title: str = "") -> list[psutil.Process]:
        """The processes of the run (of that title) that have not ended within the limit."""
        wanted = [process for process in self.kin.values() if _title(process).startswith(title)]
        return list(psutil.wait_procs(wanted, timeout=limit_s)[1])

    def end_nodes(self) -> None:
        """End the Ray of two nodes."""
        if self.nodes and self.nodes.stdin:
            self.nodes.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                self.nodes.wait(60)
            self.nodes.kill()
            self.nodes = None

    def _start_nodes(self) -> None:
        log = self.folder / "nodes.log"
        with open(log, "ab") as out:
            self.nodes = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("nodes.py"))],
                env=_environment(self.place),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=out,
                text=True,
            )
        assert self.nodes.stdout
        if not (found := self.nodes.stdout.readline().split()):
            said = log.read_text(errors="replace").strip().splitlines() or ["nothing"]
            raise OutOfTime(f"Ray did not start two nodes; the last line of {log}: {said[-1]}")
        self.second_node = int(found[1])
        self._where = (*self._where, f"cluster.address={found[0]}")

    def _start_expert(self) -> None:
        command = [sys.executable, "-m", "tests.faults.expert", self.run.experts_path, self.acknowledged, self.order]
        with open(self.folder / "expert.txt", "ab") as out:
            self.expert = subprocess.Popen(command, cwd=REPOSITORY, stdout=out, stderr=out)

    def _said(self) -> str:
        return self._stderr.read_text(errors="replace")

    def _log(self) -> str:
        path = self.run.log_dir / "driver.log"
        return path.read_text(errors="replace") if path.is_file() else ""

    def _stages(self) -> list[tuple[int, str]]:
        """The stages that this submission of the driver has begun, by its log."""
        found = re.finditer(r"round (\d+): (\w+)\n", self._log()[self._before :])
        return [(int(match[1]), match[2]) for match in found]


def run_in(folder: Path) -> RunFolder:
    """The run of the trial in a folder."""
    return RunFolder(folder / "runs" / "run")


def _environment(place: str) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    open_ray = {"RAY_AUTH_MODE": "disabled"} if place == "nodes" else {}
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"} | open_ray


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process does nothing while the block runs."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
