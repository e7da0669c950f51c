"""The command line as its users have it: in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from superalign.commands import main

ROOT = Path(main.__file__).parents[2]
COMMAND = [sys.executable, "-m", "superalign.commands.main"]


def superalign(*argv: str, cwd: Path | None = None, input: str = "") -> subprocess.CompletedProcess[str]:
    """One command, run to its end."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*COMMAND, *argv], capture_output=True, text=True, cwd=cwd or ROOT, env=environment, input=input
    )


def comes_within(limit_s: float, *command: str) -> bool:
    """Whether one of a few tries is that quick; the others may have met a busy machine."""
    untraced = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")}
    for _ in range(12):
        began = time.perf_counter()
        subprocess.run([sys.executable, *command], cwd=ROOT, env=untraced, check=True, capture_output=True)
        if time.perf_counter() - began < limit_s:
            return True
    return False


def imported(code: str) -> set[str]:
    """The modules that there are after some lines of Python in a fresh process."""
    told = f"{code}\nimport sys\nprint('\\nmodules:', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", told], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("\nmodules:")[2].split())
