"""A PostgreSQL of the tests' own: made from nothing in a temporary folder, reached by a socket, gone at the end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

START_S = 60


def binaries() -> Path | None:
    """The folder with PostgreSQL's programs, None if it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    if not found and on_path:
        found = [Path(on_path).resolve()]
    return found[-1].parent if found else None


def as_other(command: list[str]) -> list[str]:
    """The command run as nobody where we are root: PostgreSQL refuses to run as root."""
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *command] if os.getuid() == 0 else command


@contextmanager
def cluster() -> Iterator[str]:
    """Run a private cluster; gives the URL of its database.

    Raises:
        FileNotFoundError: something that is needed is not installed; the message is one line.
    """
    programs = binaries()
    if programs is None:
        raise FileNotFoundError("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    if os.getuid() == 0 and not shutil.which("setpriv"):
        raise FileNotFoundError("PostgreSQL does not run as root, and setpriv is not here to become somebody else")
    # A short path: a socket's name is limited to about 100 bytes.
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    data, log = folder / "data", folder / "log"
    try:
        if os.getuid() == 0:
            shutil.chown(folder, "nobody", "nogroup")
        options = ["-D", str(data), "-U", "superalign", "-A", "trust", "-E", "UTF8"]
        made = as_other([str(programs / "initdb"), *options])
        subprocess.run(made, check=True, capture_output=True, cwd=folder)
        options = ["-c", "listen_addresses=", "-c", "max_connections=100", "-k", str(folder), "-D", str(data)]
        with log.open("w") as out:
            server = subprocess.Popen(
                as_other([str(programs / "postgres"), *options]), stdout=out, stderr=out, cwd=folder
            )
        try:
            _wait(server, [str(programs / "pg_isready"), "-q", "-h", str(folder)], log)
            yield f"postgresql+psycopg://superalign@/postgres?host={folder}"
        finally:
            server.send_signal(signal.SIGQUIT)  # at once: what it holds is thrown away
            server.wait(60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(server: subprocess.Popen[bytes], ready: list[str], log: Path) -> None:
    for _ in range(START_S * 10):
        if subprocess.run(ready).returncode == 0:
            return
        with suppress(subprocess.TimeoutExpired):
            server.wait(0.1)
            raise RuntimeError(f"PostgreSQL did not start: {log.read_text()}")
    raise RuntimeError(f"PostgreSQL did not start within {START_S} s: {log.read_text()}")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a database in a private cluster (skips where PostgreSQL is not installed)."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(cluster())
        except FileNotFoundError as error:
            pytest.skip(str(error))
        yield url
