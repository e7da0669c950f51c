"""The kinds of fault: each function does one thing to a running trial and says what, or None if it came too late."""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.faults.trial import CALL_TIMEOUT_S, ROLES, ROUNDS, Trial, stopped

STAGES = (
    *("sync", "attack", "respond", "critique", "experts", "train_critic", "train_attacker", "train_learner"),
    "evaluate",
)
PIDFD_GETFD = 438  # the system call's number on every architecture
FULL_S = 60.0
TAKEN = "TAKEN AS IT WAS"
HALF_S = 0.01  # about as long as a submit takes


def kill_driver(trial: Trial, rng: random.Random) -> str | None:
    """SIGKILL the driver."""
    trial.kill_driver()
    trial.submit()
    return "driver killed"


def kill_actor(role: str) -> Inject:
    """SIGKILL one actor."""

    def inject(trial: Trial, rng: random.Random) -> str | None:
        if (pid := trial.actor(role)) is None:
            return None
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return f"{role} killed (pid {pid})"

    return inject


def stop_actor(trial: Trial, rng: random.Random) -> str | None:
    """SIGSTOP an actor, for a moment or for longer than a call may take."""
    role = rng.choice(ROLES)
    seconds = rng.choice([rng.uniform(0.5, 3.0), CALL_TIMEOUT_S * rng.uniform(1.2, 1.5)])
    if (pid := trial.actor(role)) is None:
        return None
    with suppress(ProcessLookupError), stopped(pid):
        end = time.monotonic() + seconds
        while time.monotonic() < end and trial.go_on():
            pass
    return f"{role} stopped for {seconds:.1f} s (pid {pid})"


def cut_connections(trial: Trial, rng: random.Random) -> str | None:
    """Shut down every TCP connection of an actor, or its connection to Ray's node."""
    role, family = rng.choice(ROLES), rng.choice([socket.AF_INET, socket.AF_UNIX])
    if (pid := trial.actor(role)) is None:
        return None
    return f"{role} lost {cut(pid, family)} connections of {family.name} (pid {pid})"


def cut(pid: int, family: socket.AddressFamily) -> int:
    """Shut down every connection of a process in one family; how many there were."""
    with suppress(FileNotFoundError):
        return sum(shut_down(pid, int(link.name), family) for link in Path(f"/proc/{pid}/fd").iterdir())
    return 0


def shut_down(pid: int, fd: int, family: socket.AddressFamily) -> bool:
    """Shut down a connection that another process holds (pidfd_getfd); whether it was one."""
    try:
        if not os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:"):
            return False
        pidfd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        copy = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, pidfd, fd, 0)
    finally:
        os.close(pidfd)
    if copy < 0:
        return False
    with socket.socket(fileno=copy) as connection:
        try:
            # Ray's own addresses are of IPv4 or of both; one end of a socketpair has no name and is no connection.
            named = connection.getpeername() or connection.getsockname()
            mine = connection.family == family or {connection.family, family} == {socket.AF_INET, socket.AF_INET6}
            if mine and named:
                connection.shutdown(socket.SHUT_RDWR)
            return bool(mine and named)
        except OSError:
            return False


def kill_node(trial: Trial, rng: random.Random) -> str | None:
    """SIGKILL a node: its raylet and all that runs below it."""
    trial.scan()
    if trial.second_node is None:
        return None
    raylet = psutil.Process(trial.second_node)
    below = raylet.children(recursive=True)
    actors = sum(process.name().startswith("ray::Host") for process in below)
    for process in (raylet, *below):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    trial.second_node = None
    return f"node killed with {actors} actors on it"


def fill_disk(trial: Trial, rng: random.Random) -> str | None:
    """Leave no room on the run's disk until the driver has ended; then make room again."""
    room = os.statvfs(trial.root)
    left = rng.choice([0, rng.randrange(200_000)])
    ballast = trial.root / "ballast"
    try:
        with suppress(OSError), open(ballast, "wb") as handle:
            for _ in range(max(0, room.f_bavail * room.f_frsize - left) // 4096):
                handle.write(bytes(4096))
        submitted, end = len(trial.ends), time.monotonic() + FULL_S
        while len(trial.ends) == submitted and time.monotonic() < end and trial.go_on():
            pass
    finally:
        ballast.unlink(missing_ok=True)
    return f"disk full but for {left} bytes"


def damage_open_round(trial: Trial, rng: random.Random) -> str | None:
    """Kill the driver and damage the round that it was writing."""
    trial.kill_driver()
    last = trial.run.last_round()
    folder = trial.run.rounds_dir / f".tmp-{0 if last is None else last + 1:04d}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "torn.parquet").write_bytes(rng.randbytes(1000))
    for path in (path for path in folder.rglob("*") if path.is_file() and rng.random() < 0.5):
        damage(path, rng)
    trial.submit()
    return f"driver killed, {folder.name} damaged"


def damage_committed_round(trial: Trial, rng: random.Random) -> str | None:
    """Kill the driver and damage a committed file: the run must refuse it, and go on once the file is restored."""
    trial.kill_driver()
    files = [path for path in sorted(trial.run.rounds_dir.glob("[0-9]*/**/*")) if path.is_file()]
    if not files:
        trial.submit()
        return "driver killed, nothing was committed yet"
    path = rng.choice(files)
    copy = trial.folder / "copy"
    shutil.copy(path, copy)
    damage(path, rng)
    name = path.relative_to(trial.run.rounds_dir)
    trial.submit()
    end = trial.note_end()
    shutil.copy(copy, path)
    trial.submit()
    refused = end.code == 2 and end.error is not None and path.parts[-2] in end.error
    return f"driver killed, {name} damaged{'' if refused else f': {TAKEN}'}"


def damage(path: Path, rng: random.Random) -> None:
    """Cut a file off, or turn every bit of one of its bytes."""
    content = bytearray(path.read_bytes())
    place = rng.randrange(max(1, len(content)))
    if rng.random() < 0.5 or not content:
        path.write_bytes(content[:place] if content else b"\0")
    else:
        content[place] ^= 0xFF
        path.write_bytes(content)


def tear_log(trial: Trial, rng: random.Random) -> str | None:
    """Kill the driver and leave half a line at the end of metrics.jsonl, samples.jsonl or events.jsonl."""
    trial.kill_driver()
    name = rng.choice(["metrics.jsonl", "samples.jsonl", "events.jsonl"])
    path = trial.run.folder / name
    text = path.read_text() if path.is_file() else ""
    last = text.splitlines()[-1] if text else '{"round": 0}'
    half = last[: rng.randrange(1, len(last))]
    path.write_text(text + half)
    trial.submit()
    return f"driver killed, {name} ends in half a line"


def kill_expert(trial: Trial, rng: random.Random) -> str | None:
    """SIGKILL the expert at a random moment of its next submit, or just before or after it."""
    before = trial.expert
    trial.order.write_text(str(rng.uniform(0.0, HALF_S)))
    while trial.go_on():
        if trial.expert is not before:
            return "expert killed in a submit"
    trial.order.unlink(missing_ok=True)
    return None


Inject = Callable[[Trial, random.Random], str | None]


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        places: where a trial of it may run.
        cause: what an error that it leads to must name, as a regular expression; empty if it may lead to none.
        first_round: no earlier one is hit.
    """

    inject: Inject
    places: tuple[str, ...]
    cause: str = ""
    first_round: int = 0


ACTORS = ("ray", "nodes")
KINDS: dict[str, Kind] = {
    "driver killed": Kind(kill_driver, ("inline", "disk", "ray", "nodes")),
    **{f"{role} killed": Kind(kill_actor(role), ACTORS) for role in ROLES},
    "actor stopped": Kind(stop_actor, ("ray",)),
    "connections cut": Kind(cut_connections, ("ray",)),
    "node killed": Kind(kill_node, ("nodes",)),
    "disk full": Kind(fill_disk, ("disk",), cause="no space left on the disk|disk is full"),
    "open round damaged": Kind(damage_open_round, ("inline",)),
    "committed round damaged": Kind(damage_committed_round, ("inline",), cause="restore it from a copy", first_round=1),
    "log torn": Kind(tear_log, ("inline",)),
    "expert killed": Kind(kill_expert, ("inline", "ray")),
}


@dataclass(frozen=True)
class Moment:
    """When a fault strikes: so many seconds after a stage of a round begins."""

    round: int
    stage: str
    delay_s: float


def moments(kinds: Sequence[str], rng: random.Random) -> list[tuple[Moment, str]]:
    """A random moment for each of the kinds, in order of time."""
    found = []
    for kind in kinds:
        round = rng.randrange(KINDS[kind].first_round, ROUNDS + 1)
        stage = rng.choice(STAGES if round else ("sync", "evaluate"))
        found.append((Moment(round, stage, rng.uniform(0.0, 1.0)), kind))
    return sorted(found, key=lambda one: (one[0].round, STAGES.index(one[0].stage)))


def can_mount() -> bool:
    """Whether this process may mount a small disk."""
    return os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], check=False).returncode == 0
