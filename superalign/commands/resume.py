"""What to type to go on with a run that was interrupted."""

from __future__ import annotations

import argparse
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from superalign.errors import UserError

if TYPE_CHECKING:
    from superalign.store.folder import RunFolder

NAME: Final = "run.name="


def how_to_resume(arguments: argparse.Namespace) -> str:
    """What to type to go on with the run, or the runs, that this process wrote."""
    if getattr(arguments, "name", None) != "train" or arguments.dry_run:
        return "nothing was lost"
    from superalign.config.compose import load

    words: list[str] = arguments.overrides
    if arguments.multirun:
        runs: list[list[str]] | None = getattr(arguments, "runs", None)
        return (
            f"resume all with: {_command(words, _prefix(words, runs[0]), ['--multirun'])}"
            if runs
            else "nothing was begun"
        )
    settings = load(words).run
    name = _begun(settings.root) if settings.name is None else settings.name
    if name is None or not (Path(settings.root) / name / "events.jsonl").exists():
        return "no round was begun, nothing to resume"
    return f"resume from the last committed round with: {_command(words, name)}"


def _command(words: Sequence[str], name: str, options: Sequence[str] = ()) -> str:
    kept = [word for word in words if not word.startswith(NAME)]
    return f"superalign {shlex.join(['train', *options, *kept, f'{NAME}{name}'])}"


def _prefix(given: Sequence[str], run: Sequence[str]) -> str:
    """What the names of a sweep's runs begin with: the name given, else recipe and time, as in one of the runs."""
    named = [word.removeprefix(NAME) for word in given if word.startswith(NAME)]
    if named:
        return named[-1]
    name = next(word for word in run if word.startswith(NAME)).removeprefix(NAME)
    return re.split(r"(?<=-\d{8}-\d{6})_", name)[0]


def _begun(root: str) -> str | None:
    """The run that this process wrote last."""
    written = sorted(Path(root).glob("*/events.jsonl"), key=os.path.getmtime, reverse=True)
    from superalign.store.folder import RunFolder

    return next((path.parent.name for path in written if _writer(RunFolder(path.parent)) == os.getpid()), None)


def _writer(run: RunFolder) -> int | None:
    """The process that wrote a run last; None where that cannot be read."""
    try:
        return next((event["pid"] for event in reversed(run.events()) if "pid" in event), None)
    except (UserError, OSError, ValueError, TypeError):
        return None
