"""How long one waits: for `superalign --help`, and from the command of a local run until its first round goes.

    python tests/benchmarks/startup.py [REPEATS]

Seconds by the clock, mean with Student's 95 % interval. The help must come within 0.5 s, and without importing any of
the heavy packages; the run is self-play on the shipped model with actors, and counts as going when its team stands.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import ROOT, Figure, exact, last_line, of_values, started

HELP_S = 0.5
HEAVY = ("torch", "transformers", "trl", "peft", "datasets", "ray", "vllm", "hydra", "pandas", "pyarrow", "scipy")
POLL_S, LIMIT_S, STOP_S = 0.01, 900, 60
GOING = "round 0: evaluate"


def help_seconds() -> float:
    """Of one `superalign --help`."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "superalign.commands.main", "--help"], check=True, capture_output=True, cwd=ROOT
    )
    return time.perf_counter() - began


def heavy_imports() -> list[str]:
    """Heavy packages that the help imports."""
    told = [sys.executable, "-X", "importtime", "-m", "superalign.commands.main", "--help"]
    trace = subprocess.run(told, check=True, capture_output=True, text=True, cwd=ROOT).stderr
    imported = {line.rpartition("|")[2].strip() for line in trace.splitlines() if line.startswith("import time:")}
    return sorted(imported & set(HEAVY))


def run_seconds(root: Path, name: str) -> float:
    """From the command of a run to its first round; the run is stopped there."""
    log, told, began = root / name / "logs" / "driver.log", root / f"{name}.log", time.perf_counter()
    command = [sys.executable, "-m", "superalign.commands.main", "train", "recipe=selfplay", "cluster=laptop"]
    with started([*command, f"run.root={root}", f"run.name={name}"], told) as driver:
        while not (log.is_file() and GOING in log.read_text()):
            if driver.poll() is not None or time.perf_counter() - began > LIMIT_S:
                waited = time.perf_counter() - began
                raise RuntimeError(f"{name} was not going after {waited:.0f} s; it said: {last_line(told)}")
            time.sleep(POLL_S)
        took = time.perf_counter() - began
        driver.send_signal(signal.SIGINT)
        driver.wait(STOP_S)
    return took


def figures(quick: bool, repeats: int | None = None) -> list[Figure]:
    """Seconds of the help, what it imports, seconds of a run's start."""
    repeats = repeats or (3 if quick else 10)
    help_seconds()  # from now on its files are in memory
    helped = [help_seconds() for _ in range(repeats)]
    found = heavy_imports()
    with tempfile.TemporaryDirectory() as scratch:
        runs = [run_seconds(Path(scratch), f"start{number}") for number in range(2 if quick else max(3, repeats // 2))]
    said = f"heavy packages that the help imports ({', '.join(found) or 'none'} of {', '.join(HEAVY)})"
    return [
        of_values("startup_help", "superalign --help", helped, most=HELP_S, unit="s"),
        exact("startup_imports", said, len(found), most=0),
        of_values("startup_run", "from the command to the first round, cluster=laptop", runs, unit="s"),
    ]


if __name__ == "__main__":
    print(*figures(False, *map(int, sys.argv[1:])), sep="\n")
