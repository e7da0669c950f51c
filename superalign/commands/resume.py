"""What to type to go on with a run that was interrupted."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from superalign.errors import UserError

if TYPE_CHECKING:
    from superalign.store.folder import RunFolder


def how_to_resume(arguments: argparse.Namespace) -> str:
    """What to type to go on with the run, or the runs, that this process wrote."""
    if getattr(arguments, "name", None) != "train" or arguments.dry_run:
        return "nothing was lost"
    from superalign.config.compose import load

    if arguments.multirun:
        return "runs that were begun are there, each can be resumed by its run.name with its own settings"
    words: list[str] = arguments.overrides
    settings = load(words).run
    name = _begun(settings.root) if settings.name is None else settings.name
    if name is None or not (Path(settings.root) / name / "events.jsonl").exists():
        return "no round was begun, nothing to resume"
    return f"resume from the last committed round with: {_command(words, name)}"


def _command(words: Sequence[str], name: str) -> str:
    kept = [word for word in words if not word.startswith("run.name=")]
    return f"superalign {shlex.join(['train', *kept, f'run.name={name}'])}"


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
