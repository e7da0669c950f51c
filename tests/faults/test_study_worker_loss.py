"""A study worker that dies takes no result with it: the open splits are done again, with the same scores."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from superalign.runtime.actors import THREAD_VARIABLES
from tests.e2e.test_weak_to_strong import scores

SPLITS = 6
COMMAND = [sys.executable, "-m", "superalign.commands.main", "train", "recipe=weak_to_strong", "task=digits"]
GIVEN = ["method=naive,confidence", "data.limit=600", f"w2s.seeds={SPLITS}", "w2s.bootstrap=50"]


def command(root: Path, cluster: str, workers: int) -> list[str]:
    where = [f"run.root={root}", f"run.name={cluster}", f"cluster={cluster}", f"cluster.threads={workers}"]
    return [*COMMAND, *GIVEN, *where]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_run_outlives_the_death_of_a_study_worker(tmp_path: Path) -> None:
    # As in a worker, one thread: more of them add numbers up in another order.
    alone = os.environ | dict.fromkeys(THREAD_VARIABLES, "1")
    subprocess.run(command(tmp_path, "inline", 1), check=True, capture_output=True, env=alone)
    run = tmp_path / "laptop"
    driver = subprocess.Popen(command(tmp_path, "laptop", 2), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 120
        while not (run / "rounds" / "0000").is_dir():
            assert driver.poll() is None and time.monotonic() < end, "the first split was never committed"
            time.sleep(0.05)
        started = re.findall(r"worker0 starts: pid (\d+)", (run / "logs" / "worker0.log").read_text())
        os.kill(int(started[-1]), signal.SIGKILL)
        assert driver.wait(180) == 0
    finally:
        driver.kill()
    events = [json.loads(line)["event"] for line in (run / "events.jsonl").read_text().splitlines()]
    assert "actor_lost" in events
    assert scores(run) == scores(tmp_path / "inline")
