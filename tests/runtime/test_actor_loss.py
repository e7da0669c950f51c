"""However an actor is lost in a nested call, the driver is told in one line who it was, why, and where its log is."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from superalign.config.sections import ClusterConfig
from superalign.errors import ActorLost
from superalign.runtime.connection import start
from superalign.runtime.ray_cluster import RayCluster
from tests.faults.injector import cut
from tests.runtime.parts import Counter, Role

CONFIG = ClusterConfig(mode="ray", start_timeout_s=60, call_timeout_s=4)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run") / "logs"


@pytest.fixture(scope="module")
def nested(logs: Path) -> Iterator[tuple[RayCluster, Role]]:
    """A role that calls a service."""
    with start(CONFIG, logs) as cluster:
        assert isinstance(cluster, RayCluster)
        role = cluster.spawn("critic", Role, cluster.spawn("generator", Counter))
        cluster.ready()
        yield cluster, role


def lost(nested: tuple[RayCluster, Role], fifo: Path, strike: Callable[[int], object]) -> ActorLost:
    """How the driver is told that the service was struck in the middle of a call from the role."""
    cluster, role = nested
    os.mkfifo(fifo)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(role.wait_for, fifo)
        with open(fifo, "w"):  # opens once the service reads, which then waits for words that never come
            strike(cluster.pid("generator"))
            error = call.exception(60)
    assert isinstance(error, ActorLost)
    cluster.restart(error)
    return error


STRIKES: dict[str, tuple[Callable[[int], object], str]] = {
    "killed": (lambda pid: os.kill(pid, signal.SIGKILL), " died during generator.wait_for: ActorDiedError: "),
    "stopped": (lambda pid: os.kill(pid, signal.SIGSTOP), ".wait_for gave no answer within "),
    "cut off": (lambda pid: cut(pid, socket.AF_INET), " died during generator.wait_for: ActorUnavailableError: "),
    "cut off from its node": (
        lambda pid: cut(pid, socket.AF_UNIX),
        " died during generator.wait_for: ActorDiedError: ",
    ),
}


@pytest.mark.parametrize("how", STRIKES)
def test_the_loss_of_a_service_names_it_and_its_log_and_ends_its_process(
    how: str, nested: tuple[RayCluster, Role], logs: Path, tmp_path: Path
) -> None:
    strike, reason = STRIKES[how]
    pidfd = os.pidfd_open(nested[0].pid("generator"))
    error = lost(nested, tmp_path / "never", strike)
    assert error.actor == "generator"
    assert str(error).startswith(f"generator{reason}")
    assert str(error).endswith(f"; log {logs}/generator.log")
    assert "\n" not in str(error)
    assert select.select([pidfd], [], [], 20)[0], "the process goes on"
    os.close(pidfd)


MEMORY = """
import sys
from pathlib import Path
from superalign.errors import ActorLost
from superalign.config.sections import ClusterConfig
from superalign.runtime.connection import start
from tests.runtime.parts import Counter
with start(ClusterConfig(mode="ray"), Path(sys.argv[1])) as cluster:
    service = cluster.spawn("generator", Counter)
    try:
        cluster.ready()
        service.wait_for(Path(sys.argv[2]))
    except ActorLost as loss:
        print(loss)
"""


def test_an_actor_that_ran_out_of_memory_is_said_to_have(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "never")
    # Ray takes the machine's memory to be used up as soon as any is used.
    environment = os.environ | {"RAY_memory_usage_threshold": "0.001", "RAY_memory_monitor_refresh_ms": "100"}
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "logs"), str(tmp_path / "never")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    (line,) = done.stdout.splitlines()
    assert (
        line.startswith("generator died during generator") and "OutOfMemoryError: " in line and "low on memory" in line
    )
    assert line.endswith(f"; log {tmp_path}/logs/generator.log")
