"""Whatever is killed, and whenever: the run ends with the bits of an undisturbed one, and no expert label is lost.

SUPERALIGN_TEST_KILLS says how often the driver is killed.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from superalign.experts.queue import ExpertQueue
from tests.e2e.test_selfplay import adapters
from tests.smallest import SMALL, SMALLER

ROUNDS = 3
KILLS = int(os.environ.get("SUPERALIGN_TEST_KILLS", "4"))
COMMAND = [
    sys.executable,
    "-m",
    "superalign.commands.main",
    "train",
    "recipe=selfplay",
    f"rounds={ROUNDS}",
    *SMALL,
    *SMALLER,
]
ROLES = ("generator", "trainer", "attacker", "critic", "learner")


def command(root: Path, name: str, cluster: str) -> list[str]:
    return [*COMMAND, f"run.root={root}", f"run.name={name}", f"cluster={cluster}"]


def labels(run: Path) -> dict[str, float]:
    path = run / "experts.sqlite"
    return {label.id: label.value for label in ExpertQueue(path).labels()} if path.is_file() else {}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """An uninterrupted run, and how long it took in seconds."""
    root, began = tmp_path_factory.mktemp("whole"), time.monotonic()
    subprocess.run(command(root, "whole", "inline"), check=True, capture_output=True)
    return root / "whole", time.monotonic() - began


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_driver_killed_at_random_moments_ends_with_the_same_bits_and_every_label(
    tmp_path: Path, undisturbed: tuple[Path, float]
) -> None:
    whole, seconds = undisturbed
    rng, kills, finished = random.Random(0), 0, 0
    known: dict[str, float] = {}
    while True:
        run = tmp_path / f"killed{finished}"
        cluster = ("inline", "laptop")[kills % 4 == 0]  # by default the first driver killed, and the one that is not
        driver = subprocess.Popen(
            command(tmp_path, run.name, cluster), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            disturbed = kills < KILLS
            assert driver.wait(rng.uniform(0.1, 0.9) * seconds if disturbed else None) == 0
        except subprocess.TimeoutExpired:
            driver.send_signal(signal.SIGKILL)
            driver.wait()
            kills += 1
        assert known.items() <= labels(run).items()
        known = labels(run)
        assert disturbed or (run / "summary.json").is_file()
        if (run / "summary.json").is_file():
            assert known == labels(whole)
            assert adapters(run, ROUNDS) == adapters(whole, ROUNDS)
            shown = [json.loads(line)["round"] for line in (run / "metrics.jsonl").read_text().splitlines()]
            assert shown == list(range(ROUNDS + 1))
            finished, known = finished + 1, {}
        if not disturbed:
            break


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_outlives_the_death_of_each_of_its_actors(tmp_path: Path, undisturbed: tuple[Path, float]) -> None:
    whole, _ = undisturbed
    run, rng = tmp_path / "orphaned", random.Random(1)
    driver = subprocess.Popen(
        command(tmp_path, "orphaned", "laptop"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for number, role in enumerate(ROLES):
            standing = wait_for_actors(driver, run, number)
            time.sleep(rng.uniform(0.0, 4.0))
            os.kill(standing[role], signal.SIGKILL)
        assert driver.wait(300) == 0
    finally:
        driver.kill()
    events = [json.loads(line)["event"] for line in (run / "events.jsonl").read_text().splitlines()]
    assert "actor_lost" in events  # a loss while the others are made anew is part of the same event
    assert {len(pids) for pids in started(run).values()} == {len(ROLES) + 1}
    assert adapters(run, ROUNDS) == adapters(whole, ROUNDS)
    assert labels(run) == labels(whole)


def started(run: Path) -> dict[str, list[int]]:
    """The process ids that each actor has had so far, from the logs."""
    logs = {role: run / "logs" / f"{role}.log" for role in ROLES}
    texts = {role: log.read_text() if log.is_file() else "" for role, log in logs.items()}
    return {role: [int(pid) for pid in re.findall(rf"{role} starts: pid (\d+)", text)] for role, text in texts.items()}


def wait_for_actors(driver: subprocess.Popen[bytes], run: Path, restarts: int) -> dict[str, int]:
    """The process ids of the actors once all of them have been started `restarts` times again."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        assert driver.poll() is None, "the driver ended early"
        pids = started(run)
        if all(len(found) == restarts + 1 for found in pids.values()):
            return {role: found[-1] for role, found in pids.items()}
        time.sleep(0.1)
    raise AssertionError(f"the actors did not start within 120 s: {pids}")
