"""How far the work of a stage is: told by whoever does it, shown by whoever shows the run.

Work says `advance("requests", 12, 40)`; what becomes of it is the process's matter. The process that shows the run
keeps it; that of an actor writes it into a file beside its log; any other drops it. A call costs a microsecond.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

SUFFIX: Final = ".progress"
EVERY_S: Final = 0.5  # that a file is written


@dataclass(frozen=True, slots=True)
class Count:
    """So many of so many done.

    Attributes:
        what: what is counted, in the plural: requests, verdicts, steps.
        at: when, in seconds since the epoch.
    """

    what: str
    done: int
    of: int
    at: float


class _Sink:
    """Where this process tells its progress; nowhere until it is said."""

    tell: Callable[[Count], None] | None = None


def tell_to(tell: Callable[[Count], None] | None) -> None:
    """From now on tell progress in this process so; None: not any more."""
    _Sink.tell = tell


def advance(what: str, done: int, of: int) -> None:
    """Say how far the work at hand is."""
    if _Sink.tell is not None:
        _Sink.tell(Count(what, done, of, time.time()))


def to_file(log_file: Path) -> Callable[[Count], None]:
    """For `tell_to`: write the newest count beside a log, twice a second at most. What cannot be written is dropped."""
    path, written = log_file.with_suffix(SUFFIX), 0.0

    def tell(count: Count) -> None:
        nonlocal written
        if count.at - written < EVERY_S and count.done < count.of:
            return
        written = count.at
        try:
            path.write_text(json.dumps(asdict(count)), encoding="utf-8")
        except OSError:
            return

    return tell


def newest(log_dir: Path, since: float) -> Count | None:
    """The newest count that the actors of a run have told since then.

    Where a pool counts its work, its engines' (NAME-0, NAME-1) do not count.
    """
    found: dict[str, Count] = {}
    for path in log_dir.glob(f"*{SUFFIX}"):
        try:
            count = Count(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):  # it is being written
            continue
        if count.at >= since:
            found[path.stem] = count
    pools = {name: count for name, count in found.items() if name.rpartition("-")[0] not in found}
    return max(pools.values(), key=lambda count: count.at, default=None)
