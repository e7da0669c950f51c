"""Runs as jobs of a real Ray cluster, started here with `ray start --head` and reached with a token."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import yaml

from superalign.commands import main
from superalign.config.schema import Config
from superalign.runtime.addresses import VARIABLES
from superalign.store.run_writer import RunWriter
from tests.smallest import SMALL, SMALLER

ROOT = Path(__file__).parents[2]
OURS = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_TMPDIR", *VARIABLES)


@dataclass
class Head:
    """A cluster of one node, and the command line of somebody who has its token."""

    process: subprocess.Popen[bytes]
    address: str
    environment: dict[str, str]

    def start(self, verb: str, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "superalign.commands.main", verb, "--address", self.address, *words]
        return subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def superalign(self, verb: str, *words: str) -> tuple[int, str]:
        process = self.start(verb, *words)
        said, _ = process.communicate(timeout=300)
        return process.returncode, said


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    # Not TMPDIR: the path of a Unix socket is limited to 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="superalign-head-", dir="/tmp"))
    port, dashboard, client, agent = free_ports(4)
    mine = {key: value for key, value in os.environ.items() if key not in OURS}
    mine |= {"PYTHONPATH": str(ROOT), "RAY_AUTH_TOKEN": "f" * 32, "RAY_USAGE_STATS_ENABLED": "0"}
    command = [
        *(Path(sys.executable).with_name("ray"), "start", "--head", "--block", "--num-cpus=2"),
        *(f"--port={port}", f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1"),
        *(f"--ray-client-server-port={client}", f"--dashboard-agent-listen-port={agent}"),
        *(f"--temp-dir={folder}", "--object-store-memory=100000000", "--min-worker-port=0", "--max-worker-port=0"),
    ]
    with open(folder / "head.log", "wb") as log:
        process = subprocess.Popen(
            command, env=mine | {"RAY_AUTH_MODE": "token"}, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_until(lambda: asks_for_a_token(dashboard), process, 120)
        yield Head(process, f"127.0.0.1:{port}", mine)
    finally:
        for each in (*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)):
            with suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def asks_for_a_token(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/api/jobs/")
    except urllib.error.HTTPError as error:
        return error.code == 401
    except OSError:
        return False
    return False


def wait_until(
    so: Callable[[], bool], process: subprocess.Popen[str] | subprocess.Popen[bytes], limit_s: float
) -> None:
    end = time.monotonic() + limit_s
    while not so():
        assert process.poll() is None and time.monotonic() < end, "it ended, or took too long"
        time.sleep(0.05)


def wait_for(line: str, process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    said = []
    for each in process.stdout:
        said.append(each)
        if each == line:
            return
    raise AssertionError("".join(said))


def test_this_interpreter_runs_a_job_of_a_cluster_on_this_machine_alone(head: Head) -> None:
    # In a process of its own: Ray reads its token once.
    script = f"""
from superalign.runtime import jobs, submit
ours = jobs.connect({head.address!r})
print(submit._python(ours))
ours.session = lambda: "session_at_the_other_end_of_a_tunnel"
print(submit._python(ours))
"""
    command = [sys.executable, "-c", script]
    told = subprocess.run(command, env=head.environment, check=True, capture_output=True, text=True).stdout
    assert told.split() == [sys.executable, "python"]


@pytest.mark.slow
def test_a_killed_job_submitted_again_resumes_under_a_fresh_id_and_ends_as_if_undisturbed(
    head: Head, tmp_path: Path
) -> None:
    settings = ["recipe=selfplay", "rounds=2", *SMALLER, *SMALL, f"run.root={tmp_path}"]
    assert main.main(["train", *settings, "run.name=whole", "cluster=inline"]) == 0
    run, settings = tmp_path / "killed", [*settings, "run.name=killed"]
    first = head.start("submit", *settings)
    wait_until((run / "rounds" / "0001").is_dir, first, 300)
    driver, generator = int((run / ".lock").read_text()), first_pid(run / "logs" / "generator.log")
    assert driver not in {process.pid for process in psutil.Process(generator).parents()}, "it started its own Ray"
    os.kill(driver, signal.SIGKILL)
    said, _ = first.communicate(timeout=60)
    assert first.returncode == 1
    assert "is job killed on " in said and "submit killed again to resume from the last committed round" in said

    code, said = head.superalign("submit", *settings, "cluster=inline")
    assert code == 0, said
    assert "is job killed-2 on " in said and "job killed-2 succeeded" in said
    assert metrics(run) == metrics(tmp_path / "whole")
    assert head.superalign("submit", *settings) == (0, f"{run} is complete: nothing to do\n")


def first_pid(log: Path) -> int:
    found = re.search(r"starts: pid (\d+)", log.read_text())
    assert found
    return int(found[1])


def metrics(run: Path) -> list[object]:
    return [json.loads(line)["metrics"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_job_that_has_no_folder_yet_is_told_of_refused_a_second_time_and_stopped(head: Head, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$WORD, says the driver"\nexec sleep 600\n')
    python.chmod(0o755)
    (tmp_path / "job.yaml").write_text(f"python: {python}\nenv_vars: {{WORD: hello}}\noverrides: [recipe=selfplay]\n")
    run = tmp_path / "waiting"
    asked = ("--job", str(tmp_path / "job.yaml"), f"run.root={tmp_path}", "run.name=waiting")
    following = head.start("submit", *asked)
    wait_for("hello, says the driver\n", following)
    code, said = head.superalign("status", "waiting")
    assert code == 0 and said.startswith("job waiting of the run: running\n") and "hello, says the driver" in said
    assert "hello, says the driver" in head.superalign("logs", str(run))[1]
    code, said = head.superalign("submit", *asked)
    assert code == 2 and f"follow it with superalign logs {run} --follow, or stop it with superalign stop {run}" in said
    assert head.superalign("stop", "waiting") == (
        0,
        "job waiting stopped; superalign submit with the same settings resumes the run\n",
    )
    assert following.wait(60) == 1
    assert head.superalign("status", "waiting") == (
        0,
        "job waiting of the run: stopped: Job was intentionally stopped.\n",
    )


def test_a_mistake_that_only_the_job_finds_is_the_exit_code_of_submit_and_files_of_this_folder_are_found(
    head: Head, tmp_path: Path
) -> None:
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_text("no JSON\n")
    words = (f"data.seeds={os.path.relpath(seeds)}", f"run.root={os.path.relpath(tmp_path)}", "run.name=bad")
    code, said = head.superalign("submit", "recipe=selfplay", "cluster=inline", *words)
    assert code == 2 and said.startswith(f"run bad in {tmp_path / 'bad'} is job bad on ")
    mistake = next(line for line in said.splitlines() if line.startswith("superalign: "))
    assert str(seeds) in mistake and "no such file" not in mistake
    assert mistake in head.superalign("status", "bad")[1]


def test_a_sweep_is_a_job_for_each_run_and_takes_recipes_and_settings_of_this_folder(
    head: Head, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(
        "from superalign.store.run_writer import Plan, RunWriter\n\n\n"
        "def main(config):\n"
        "    run = config.run\n"
        "    with RunWriter.create_or_resume(config.model_dump(), run.root, run.name, plan=Plan(0)) as writer:\n"
        "        writer.begin_round(0)\n"
        "        writer.commit_round(0, {'metrics': {}, 'counts': {}, 'train': {}})\n"
        "        writer.finish({}, versions={})\n"
        "    return 0\n"
    )
    (tmp_path / "my.yaml").write_text(f"recipe: {os.path.relpath(tmp_path / 'mine.py')}\nrounds: 3\n")
    words = ("--multirun", os.path.relpath(tmp_path / "my.yaml"), "seed=1,2", f"run.root={tmp_path}", "run.name=try")
    code, said = head.superalign("submit", *words)
    assert code == 0, said
    for seed in (1, 2):
        run = tmp_path / f"try_seed={seed}"
        assert f"run {run.name} in {run} is job {run.name} on " in said
        wait_until((run / "summary.json").is_file, head.process, 120)
        settings = yaml.safe_load((run / "config.yaml").read_text())
        assert (settings["seed"], settings["rounds"], settings["recipe"]) == (seed, 3, str(tmp_path / "mine.py"))
    again, said = head.superalign("submit", *words)
    assert again == 0 and said.count("is complete: nothing to do") == 2


def test_a_follower_who_is_interrupted_leaves_the_job_alone(head: Head, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho begun\nexec sleep 600\n")
    python.chmod(0o755)
    (tmp_path / "job.yaml").write_text(f"python: {python}\n")
    following = head.start("submit", "--job", str(tmp_path / "job.yaml"), f"run.root={tmp_path}", "run.name=left")
    wait_for("begun\n", following)
    following.send_signal(signal.SIGINT)
    said, _ = following.communicate(timeout=60)
    assert following.returncode == 130
    assert said.startswith("job left goes on: ") and f"or stop it: superalign stop {tmp_path / 'left'}\n" in said


def test_without_the_token_a_cluster_is_refused_in_plain_words(head: Head) -> None:
    stranger = Head(head.process, head.address, head.environment | {"RAY_AUTH_TOKEN": "0" * 32})
    code, said = stranger.superalign("submit", "recipe=selfplay")
    assert code == 2 and "Traceback" not in said
    assert said.splitlines()[-1].startswith(f"superalign: Ray at {head.address} asks for a token: set RAY_AUTH_TOKEN")


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user who knows of no cluster, in an empty working directory."""
    for name in OURS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (["recipe=selfpaly"], "did you mean selfplay?"),
        (["recipe=selfplay"], "no Ray cluster is known here: give --address HOST:PORT"),
        (["recipe=selfplay", "--address", "127.0.0.1:1"], "no Ray answers at 127.0.0.1:1 ("),
        (["recipe=selfplay", "--address", "http://127.0.0.1:1"], "no Ray jobs answer at http://127.0.0.1:1 ("),
        (["recipe=selfplay", "--address", "somewhere"], "no Ray answers at somewhere ("),
        (["recipe=selfplay", "run.name=a/b"], "run.name='a/b' cannot name a folder"),
    ],
)
def test_what_cannot_be_submitted_is_refused_in_one_line(
    words: list[str], fragment: str, nobody: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["submit", *words]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1 and fragment in printed.err


def test_an_announced_cluster_that_is_gone_is_named(nobody: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (nobody / "ray").mkdir()
    (nobody / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")
    assert main.main(["submit", "recipe=selfplay"]) == 2
    assert "no Ray answers at 127.0.0.1:1" in capsys.readouterr().err


def test_a_run_that_a_process_writes_or_that_has_other_settings_is_not_submitted(
    nobody: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Config(recipe="selfplay").model_dump()
    with RunWriter.create_or_resume(settings, nobody / "runs", "mine") as run:
        assert main.main(["submit", "recipe=selfplay", "run.name=mine"]) == 2
        assert f"running as process {os.getpid()}: follow it with" in capsys.readouterr().err
        run.begin_round(0)
        run.commit_round(0, {"metrics": {}, "counts": {}})
    capsys.readouterr()
    assert main.main(["submit", "recipe=selfplay", "run.name=mine", "seed=4"]) == 2
    assert "was started with seed=0 and now seed=4" in capsys.readouterr().err
