"""`superalign stop` of runs that are no jobs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from superalign.commands import main
from superalign.config.schema import Config
from superalign.runtime.addresses import VARIABLES
from superalign.store.run_writer import RunWriter

ROOT = Path(__file__).parents[2]
WRITER = """
import signal, sys
from superalign.config.schema import Config
from superalign.store.run_writer import RunWriter
with RunWriter.create_or_resume(Config().model_dump(), "runs", "mine"):
    print("open", flush=True)
    signal.pause()
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory, and no cluster known."""
    for name in (*VARIABLES, "RAY_TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_process_of_this_machine_that_writes_the_run_is_ended(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-c", WRITER]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        assert main.main(["stop", "mine"]) == 0
        assert not psutil.pid_exists(writer.pid)
    assert capsys.readouterr().out.startswith(f"process {writer.pid} stopped; superalign train run.name=mine ")
    assert main.main(["stop", "mine"]) == 0
    assert capsys.readouterr().out == f"{here}/runs/mine is not running: nothing to stop\n"


def test_a_process_that_does_not_hold_the_lock_itself_is_left_alone(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        RunWriter.create_or_resume(Config().model_dump(), "runs", "mine"),
        subprocess.Popen(["sleep", "60"]) as bystander,
    ):
        (here / "runs" / "mine" / ".lock").write_text(str(bystander.pid))
        assert main.main(["stop", "mine"]) == 2
        assert bystander.poll() is None
        bystander.kill()
    assert f"is written by process {bystander.pid}, which is another user's or on" in capsys.readouterr().err


def test_a_run_that_does_not_exist_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["stop", "nowhere"]) == 2
    assert "no run folder nowhere" in capsys.readouterr().err
