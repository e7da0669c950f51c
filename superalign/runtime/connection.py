"""Ray for the time of a run: one of our own that leaves nothing behind, or a cluster that is joined."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from superalign.config.sections import ClusterConfig
from superalign.errors import UserError
from superalign.models.permissions import environment as permissions
from superalign.runtime.addresses import pass_token, reread_environment
from superalign.runtime.cluster import Cluster, InlineCluster
from superalign.runtime.memory import keep_freed_memory
from superalign.runtime.ray_cluster import RayCluster

OBJECT_STORE_BYTES = 512 * 2**20
ANSWER_LIMIT_S = 5.0

# What a Ray of our own must not do: phone home, hide the accelerators from actors that reserve none, pack up the
# working directory under `uv run`, print its news of dead workers (which `ActorLost` tells) on the user's screen,
# have actors yield their cores to its bookkeeping, or keep a process for each core that no actor wants.
RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
    "RAY_worker_niceness": "0",
    "RAY_prestart_worker_first_driver": "0",
}

IN_A_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # set by Ray for the driver of a job, as is RAY_ADDRESS


def resolve_address(config: ClusterConfig) -> ClusterConfig:
    """The settings of a run as it runs here: in a Ray job `address=local` is the cluster that runs the job."""
    if config.address == "local" and IN_A_JOB in os.environ:
        return config.model_copy(update={"address": os.environ["RAY_ADDRESS"]})
    return config


@contextmanager
def start(config: ClusterConfig, log_dir: Path) -> Iterator[Cluster]:
    """A cluster for the time of a run; everything it started is gone afterwards, also after an exception.

    `address=local` starts a Ray of its own, reachable only with a token drawn for this process and keeping its files
    in a private folder. Another address joins that cluster, which is left at the end.

    Call it from the main thread: Ray's processes end with the thread that started them.

    Raises:
        UserError: Ray runs in this process already, does not start, or nothing answers at `config.address`.
    """
    if config.mode == "inline":
        keep_freed_memory()
        yield InlineCluster()
        return
    _prepare_environment(config)
    reread_environment()
    import ray

    if ray.is_initialized():
        raise UserError("Ray is already running in this process: end it with ray.shutdown() or use cluster=inline")
    if config.address != "local":
        try:
            _join(config)
            yield RayCluster(config, log_dir)
        finally:
            ray.shutdown()
        return
    # Not TMPDIR: the path of a Unix socket is limited to 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="superalign-ray-", dir="/tmp"))
    try:
        with _cleanup_process(folder) as look:
            look()
            try:
                ray.init(
                    **_common(config),
                    include_dashboard=False,
                    num_cpus=os.cpu_count(),
                    object_store_memory=OBJECT_STORE_BYTES,
                    _temp_dir=str(folder),
                )
            except Exception as error:  # Ray has no class of its own for this, and raises bare ones
                reason = str(error).strip().partition("\n")[0]
                raise UserError(
                    f"Ray did not start ({reason}): free memory and processors and run the same command again, "
                    "or use cluster=inline"
                ) from error
            look()
            yield RayCluster(config, log_dir)
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _cleanup_process(folder: Path) -> Iterator[Callable[[], None]]:
    """Has what Ray leaves behind cleaned up if this process is killed before it can shut Ray down.

    It holds from before Ray starts; what it yields is to be called then, and once Ray stands. At the end it waits for
    all that Ray runs by then.
    """
    command = [sys.executable, "-P", str(Path(__file__).with_name("ray_cleanup.py")), str(os.getpid()), str(folder)]
    # A session of its own: Ctrl-C in the terminal is not meant for it.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as process:
        asked, told = process.stdin, process.stdout
        assert asked is not None and told is not None

        def look() -> None:
            asked.write(b"\n")
            asked.flush()
            told.readline()

        try:
            yield look
        finally:
            import ray

            with suppress(OSError):
                look()  # its workers, too: one that is ending has no file open any more by which it would be found
            ray.shutdown()


def _prepare_environment(config: ClusterConfig) -> None:
    for key, value in RAY_ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    if config.address == "local" and "RAY_AUTH_MODE" not in os.environ:
        # Ray would otherwise write a token to the home folder.
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    else:
        pass_token(os.environ)


def _common(config: ClusterConfig) -> dict[str, Any]:
    allowed = permissions()
    return {
        "address": config.address,
        "namespace": f"superalign-{secrets.token_hex(8)}",
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        **({"runtime_env": {"env_vars": allowed}} if allowed else {}),
    }


def _join(config: ClusterConfig) -> None:
    import ray

    host, _, port = config.address.rpartition(":")
    try:
        # Ray itself would try for minutes, and then end the process.
        with socket.create_connection((host, int(port)), timeout=ANSWER_LIMIT_S):
            pass
        ray.init(**_common(config))
    except (OSError, ValueError, OverflowError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"no Ray answers at cluster.address={config.address} ({reason}): use local or HOST:PORT of a cluster"
        ) from error
