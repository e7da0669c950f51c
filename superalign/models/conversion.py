"""Models made of other files, once, in a cache: `~/.cache/superalign/models`, or below $SUPERALIGN_CACHE."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Final

from superalign.errors import UserError

HASHED_WHOLE: Final = 1_000_000_000  # bytes; larger files are known by size and time of change

log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Where converted models are kept."""
    given = os.environ.get("SUPERALIGN_CACHE")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "superalign"
    return (Path(given).expanduser() if given else home) / "models"


def converted(name: str, content: str, say: str, make: Callable[[Path], None]) -> str:
    """The folder of a model that `make` writes into an empty one, unless an earlier call has done so.

    Args:
        name: the beginning of the folder's name.
        content: digest of all that the result depends on.
        say: what is logged before it is made.
        make: writes the model; processes that want the same one wait for each other.

    Raises:
        UserError: the cache cannot be written, or what `make` raises.
    """
    folder = cache_folder() / f"{name}-{content[:16]}"
    if folder.is_dir():
        return str(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with open(folder.with_name(f"{folder.name}.lock"), "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.is_dir():
                log.warning("%s; kept in %s", say, folder)
                _made(folder, make)
    except OSError as error:
        raise UserError(
            f"{folder.parent}: a converted model cannot be kept there ({error.strerror or error}); set "
            "SUPERALIGN_CACHE to a folder with room"
        ) from error
    return str(folder)


def _made(folder: Path, make: Callable[[Path], None]) -> None:
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        scratch.chmod(0o755)
        make(scratch)
        os.replace(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def digest(*parts: str) -> str:
    """One digest of several."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def folder_digest(folder: Path) -> str:
    """Of the names and contents of the files in a folder."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return digest(*(text for path in files for text in (path.name, file_digest(path))))


def file_digest(path: Path) -> str:
    """Of a file's content."""
    about = path.stat()
    return _file_digest(str(path.resolve()), about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=256)
def _file_digest(path: str, size: int, changed: int) -> str:
    if size > HASHED_WHOLE:
        return f"{size}-{changed}"
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
