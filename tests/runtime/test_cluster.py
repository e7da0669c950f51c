"""Objects on a cluster behave as objects, and their failures say where and why."""

import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from superalign.config.sections import ClusterConfig
from superalign.errors import ActorLost, UserError
from superalign.runtime import actors
from superalign.runtime.cluster import Cluster, InlineCluster
from superalign.runtime.connection import start
from superalign.runtime.ray_cluster import RayCluster
from tests.runtime.parts import Counter, Dying, Refusing, Role, Stuck

CONFIG = ClusterConfig(mode="ray", start_timeout_s=60, call_timeout_s=60, max_restarts=3)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run") / "logs"


@pytest.fixture(scope="module")
def ray_cluster(logs: Path) -> Iterator[Cluster]:
    with start(CONFIG, logs) as cluster:
        cluster.spawn("service", Counter, start=10)
        yield cluster


@pytest.fixture(scope="module")
def service(ray_cluster: RayCluster) -> Counter:
    ray_cluster.ready()
    return ray_cluster._actors["service"].proxy  # type: ignore[return-value]


@pytest.fixture
def shared(ray_cluster: Cluster, logs: Path) -> RayCluster:
    """A second set of actors on the same Ray, so that a test can break them alone."""
    return RayCluster(CONFIG, logs)


@pytest.mark.parametrize("kind", ["inline", "ray"])
def test_a_role_and_its_service_behave_the_same_inline_and_on_ray(kind: str, shared: RayCluster) -> None:
    cluster: Cluster = InlineCluster() if kind == "inline" else shared
    counter = cluster.spawn("counter", Counter, 5)
    role = cluster.spawn("role", Role, counter)
    cluster.ready()
    assert counter.add(1, times=2) == 7
    assert role.add(3) == 10
    assert role.service_pid() == cluster.pid("counter") == counter.pid()
    assert counter.apply(lambda value: value + 1) == 11
    tensors = counter.doubled({"a": np.ones((2, 3), np.float32)})
    tensors["a"] += 1
    assert tensors["a"].dtype == np.float32 and (tensors["a"] == 3).all()
    assert not hasattr(counter, "nonsense") and not hasattr(counter, "_private")
    with pytest.raises(AttributeError, match="nonsense"):
        counter.nonsense()  # type: ignore[attr-defined]
    with pytest.raises(ZeroDivisionError, match="the margin is zero"):
        role.fail_in_service()
    with pytest.raises(UserError, match=r"^data\.seeds: no such file$"):
        counter.refuse()
    with pytest.raises(ValueError, match="already spawned"):
        cluster.spawn("counter", Counter)


def test_a_remote_exception_names_actor_log_and_remote_line(service: Counter, logs: Path) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        service.fail()
    (note,) = caught.value.__notes__
    assert "in actor service" in note and str(logs / "service.log") in note
    assert 'raise ZeroDivisionError("the margin is zero")' in note
    assert "ZeroDivisionError: the margin is zero" in (logs / "service.log").read_text()


def test_a_nested_exception_names_both_actors(shared: RayCluster, service: Counter) -> None:
    role = shared.spawn("outer", Role, service)
    with pytest.raises(ZeroDivisionError) as caught:
        role.fail_in_service()
    inner, outer = caught.value.__notes__
    assert inner.startswith("in actor service ") and outer.startswith("in actor outer ")


def test_an_unpicklable_exception_arrives_with_its_name_and_message(service: Counter) -> None:
    with pytest.raises(RuntimeError, match="Unpicklable: code 7"):
        service.fail_oddly()


def test_an_unpicklable_result_is_an_exception_and_not_a_death(service: Counter) -> None:
    with pytest.raises(TypeError, match="pickle"):
        service.apply(lambda _: threading.Lock())
    assert service.echo("alive") == "alive"


def test_the_death_of_a_nested_actor_is_reported_by_its_own_name(shared: RayCluster, logs: Path) -> None:
    generator = shared.spawn("generator", Counter)
    critic = shared.spawn("critic", Role, generator)
    shared.ready()
    with pytest.raises(ActorLost, match=r"generator died during generator\.die: ") as caught:
        critic.break_service()
    assert caught.value.actor == "generator"
    assert str(logs / "generator.log") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_restart_makes_all_actors_anew_behind_the_same_proxies(shared: RayCluster) -> None:
    counter = shared.spawn("fresh_counter", Counter, 5)
    role = shared.spawn("fresh_role", Role, counter)
    shared.ready()
    before = {shared.pid("fresh_counter"), shared.pid("fresh_role")}
    assert role.add(1) == 6
    with pytest.raises(ActorLost) as caught:
        counter.die()
    shared.restart(caught.value)
    assert before.isdisjoint({shared.pid("fresh_counter"), shared.pid("fresh_role")})
    assert role.add(1) == 6
    assert counter.add(1) == 7


def test_restarts_are_limited(shared: RayCluster) -> None:
    shared.spawn("dying", Dying)
    with pytest.raises(ActorLost) as first:
        shared.ready()
    with pytest.raises(ActorLost) as last:
        shared.restart(first.value)
    assert first.value.actor == last.value.actor == "dying"
    assert shared._restarts == CONFIG.max_restarts


def test_a_refusing_constructor_reports_its_reason_at_ready_and_at_every_call(shared: RayCluster) -> None:
    refusing = shared.spawn("refusing", Refusing)
    with pytest.raises(UserError, match=r"^model: no such folder$"):
        shared.ready()
    with pytest.raises(UserError, match=r"^model: no such folder$"):
        refusing.answer()


def test_an_actor_that_does_not_start_in_time_is_named(ray_cluster: Cluster, logs: Path) -> None:
    cluster = RayCluster(CONFIG.model_copy(update={"start_timeout_s": 0.2}), logs)
    cluster.spawn("stuck", Stuck)
    with pytest.raises(UserError, match=r"stuck did not start within 0\.2 s: .*cluster\.start_timeout_s"):
        cluster.ready()


def test_a_slow_call_logs_where_it_waits(
    service: Counter, logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actors, "WAIT_SLICE_S", 0.05)
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    lines: list[str] = []

    class Release(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())
            if len(lines) == 1:
                fifo.write_text("went on")

    handler = Release()
    monkeypatch.setattr(actors.logger, "handlers", [handler])
    monkeypatch.setattr(actors.logger, "level", logging.INFO)
    assert service.wait_for(fifo) == "went on"
    assert lines[0] == f"waiting 0 s for service.wait_for (limit 60 s); log {logs / 'service.log'}"


def test_a_call_over_its_limit_is_a_loss_that_names_the_setting(
    ray_cluster: Cluster, logs: Path, tmp_path: Path
) -> None:
    cluster = RayCluster(CONFIG.model_copy(update={"call_timeout_s": 0.3}), logs)
    silent = cluster.spawn("silent", Counter)
    cluster.ready()
    fifo = tmp_path / "never"
    os.mkfifo(fifo)
    with pytest.raises(ActorLost, match=r"silent\.wait_for gave no answer within 0\.3 s \(cluster\.call_timeout_s\)"):
        silent.wait_for(fifo)
    cluster.restart(ActorLost("silent", "silent"))


def test_threads_reach_torch_and_a_light_role_never_imports_it(shared: RayCluster) -> None:
    one = shared.spawn("one_thread", Counter, threads=1)
    two = shared.spawn("two_threads", Counter, threads=2)
    role = shared.spawn("light", Counter)
    assert not role.has_torch()
    assert one.threads() == ("1", 1)
    assert two.threads() == ("2", 2)


def test_an_actor_uses_the_memory_that_it_freed_again(service: Counter) -> None:
    pages = 8 * 2**20 // os.sysconf("SC_PAGESIZE")
    service.page_faults(8, times=2)
    assert service.page_faults(8, times=4) < pages


def test_prints_and_log_records_go_to_the_log_of_the_actor_alone(
    service: Counter, logs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    service.speak()
    text = (logs / "service.log").read_text()
    assert "printed words" in text and "INFO part: logged words" in text
    assert capfd.readouterr() == ("", "")


def test_ray_keeps_no_process_that_no_actor_wants(service: Counter) -> None:
    below = [process.cmdline() for process in psutil.Process().children(recursive=True)]
    assert any("ray::Host" in line[0] for line in below if line)
    assert not [line for line in below if line and re.search("ray::IDLE|default_worker.py", " ".join(line[:3]))]


def test_a_second_cluster_in_one_process_is_refused(ray_cluster: Cluster, logs: Path) -> None:
    with pytest.raises(UserError, match="already running in this process"), start(CONFIG, logs):
        pass


def test_a_ray_that_does_not_start_is_one_line(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
import ray
from superalign.errors import UserError
from superalign.runtime.connection import start
from superalign.config.sections import ClusterConfig
def init(**_):
    raise Exception("The current node timed out during startup.\\nMore words.")
ray.init = init
try:
    with start(ClusterConfig(mode="ray"), Path(sys.argv[1])):
        pass
except UserError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("Ray did not start (The current node timed out during startup.): free memory")


def test_an_inline_cluster_lets_a_loss_go_on(tmp_path: Path) -> None:
    loss = ActorLost("elsewhere", "elsewhere died")
    with start(ClusterConfig(mode="inline"), tmp_path) as cluster, pytest.raises(ActorLost) as caught:
        cluster.restart(loss)
    assert caught.value is loss
