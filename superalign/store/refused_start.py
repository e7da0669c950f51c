"""A start that is refused leaves no run folder behind."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

LOCK = ".lock"


class RefusedStart:
    """What stood before a run was begun, so that nothing else stays if it is refused.

    Attributes:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._missing = [path for path in (folder, *folder.parents) if _is_missing(path)]
        self._brought_lock = _is_missing(folder / LOCK)
        self._before: set[str] = set()
        self._ours = False

    def locked(self) -> None:
        """From now on nobody else writes there: what is there is not ours, and all that comes is."""
        self._before, self._ours = {path.name for path in self.folder.iterdir()}, True
        if self._brought_lock:
            self._before.discard(LOCK)

    def undo(self) -> None:
        """Remove what came into the folder since it was locked, then the folders that were made and are empty."""
        for path in list(self.folder.iterdir()) if self._ours else ():
            if path.name in self._before:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        for path in self._missing:
            try:
                path.rmdir()
            except (OSError, ValueError):  # it was not made, or somebody else keeps something there
                continue


def asked_anybody(queue: Path) -> bool:
    """Whether a queue of expert labels holds items, which somebody may have answered; one that cannot be read may."""
    if not queue.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"file:{quote(str(queue.absolute()))}?mode=ro", uri=True)) as database:
            return bool(database.execute("SELECT EXISTS (SELECT 1 FROM item)").fetchone()[0])
    except sqlite3.Error:
        return True


def _is_missing(path: Path) -> bool:
    try:
        return not path.exists()
    except (OSError, ValueError):  # it cannot be made either, which is told by whoever tries
        return False
