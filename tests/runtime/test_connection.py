"""Nothing outlives the process that started a cluster, however it ends."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from superalign.config.sections import ClusterConfig
from superalign.errors import UserError
from superalign.runtime.connection import start

ROOT = Path(__file__).parents[2]
DRIVER = """
import os, signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background is started with SIGINT ignored
from superalign.config.sections import ClusterConfig
from superalign.runtime.connection import start
from tests.runtime.parts import Counter
with start(ClusterConfig(mode="ray"), Path(sys.argv[1])) as cluster:
    service = cluster.spawn("service", Counter)
    cluster.ready()
    import ray
    print(cluster.pid("service"), ray._private.worker._global_node.get_session_dir_path(), flush=True)
    service.die() if sys.argv[2] == "death" else service.wait_for(Path(sys.argv[3]))
"""


def descendants(pid: int) -> dict[int, int]:
    """Each process below `pid` as pidfd by process id: a pidfd becomes readable when its process ends."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, todo = [], [pid]
    while todo:
        todo.extend(below := children.get(todo.pop(), []))
        found.extend(below)
    return {child: os.pidfd_open(child) for child in found}


def alive_after(pidfds: dict[int, int], limit_s: float) -> list[int]:
    """The processes that have not ended within the limit."""
    import select

    end = time.monotonic() + limit_s
    left = []
    for pid, fd in pidfds.items():
        if not select.select([fd], [], [], max(0.0, end - time.monotonic()))[0]:
            left.append(pid)
        os.close(fd)
    return left


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_no_process_survives_a_driver_ended_by(how: signal.Signals, tmp_path: Path) -> None:
    fifo = tmp_path / "never"
    os.mkfifo(fifo)
    command = [sys.executable, "-c", DRIVER, str(tmp_path / "logs"), "wait", str(fifo)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as driver:
        assert driver.stdout is not None
        actor, session = driver.stdout.readline().split()
        below = descendants(driver.pid)
        assert int(actor) in below
        if how == signal.SIGINT:
            os.killpg(driver.pid, how)  # as a terminal does on Ctrl-C
        else:
            driver.send_signal(how)
        driver.wait(timeout=60)
    assert driver.returncode != 0
    assert alive_after(below, limit_s=20) == []
    assert not Path(session).exists()


def test_no_process_survives_a_driver_killed_while_ray_starts(tmp_path: Path) -> None:
    command = [sys.executable, "-c", DRIVER, str(tmp_path / "logs"), "wait", str(tmp_path / "never")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as driver:
        end, named = time.monotonic() + 60, set[str]()
        while not named and driver.poll() is None and time.monotonic() < end:
            for process in psutil.Process(driver.pid).children(recursive=True):
                with suppress(psutil.Error):  # it may have ended by now
                    if process.name() == "gcs_server":
                        named = {*re.findall(r"/tmp/superalign-ray-\w+", " ".join(process.cmdline()))}
        (folder,) = named
        below = descendants(driver.pid)
        driver.kill()
    assert alive_after(below, limit_s=30) == []
    assert not Path(folder).exists()


def test_a_driver_says_nothing_of_its_own_about_a_lost_actor(tmp_path: Path) -> None:
    command = [sys.executable, "-c", DRIVER, str(tmp_path / "logs"), "death"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr.splitlines()[0] == "Traceback (most recent call last):"
    assert "ActorLost: service died during service.die" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("address", ["127.0.0.1:1", f"127.0.0.1:{10**20}", "auto", "ray://127.0.0.1:10001"])
def test_an_address_where_nothing_answers_is_named(address: str, tmp_path: Path) -> None:
    expected = rf"^no Ray answers at cluster\.address={address} \(.*\): use local or HOST:PORT"
    with pytest.raises(UserError, match=expected), start(ClusterConfig(mode="ray", address=address), tmp_path):
        pass


def test_inline_needs_no_ray(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from superalign.config.sections import ClusterConfig
from superalign.runtime.connection import start
from tests.runtime.parts import Counter
with start(ClusterConfig(mode="inline"), Path("nowhere")) as cluster:
    cluster.spawn("service", Counter).add(1)
print("ray" in sys.modules, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["False", "False"], done.stderr


def test_other_children_of_the_process_are_left_alone(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys\nfrom pathlib import Path\nfrom superalign.config.sections import ClusterConfig\n"
        "from superalign.runtime.connection import start\n"
        "other = subprocess.Popen(['sleep', '300'])\n"
        f"with start(ClusterConfig(), Path({str(tmp_path)!r})):\n    pass\n"
        "print(other.poll())\nother.kill()\n"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT).stdout == "None\n"
