"""Writes that survive a crash, and a full disk or a lacking permission told as a user's problem."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from superalign.errors import UserError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
NEARLY_FULL_BYTES = 64 * 1024


def dump_json(value: Mapping[str, Any], indent: int | None = None) -> str:
    """Strict ASCII JSON, one line unless indented; NaN and infinity, which JSON lacks, become null."""
    try:
        return json.dumps(value, allow_nan=False, indent=indent)
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False, indent=indent)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def fsync_path(path: Path) -> None:
    """Make one file's content, or one folder's list of names, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fsync_tree(folder: Path) -> None:
    """Make everything under a folder durable, children before parents."""
    for root, _, files in os.walk(folder, topdown=False):
        for name in files:
            fsync_path(Path(root, name))
        fsync_path(Path(root))


def atomic_write(path: Path, text: str) -> None:
    """Replace a file so that a reader, or a crash, sees the old text or the new one and nothing between."""
    temporary = path.with_name(f".{path.name}.tmp")
    with open(temporary, "w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(temporary, path)
    fsync_path(path.parent)


def write_if_other(path: Path, text: str) -> None:
    """Make a file say this, without touching one that does."""
    if not path.exists() or path.read_text(encoding="utf-8", errors="replace") != text:
        atomic_write(path, text)


def append_lines(path: Path, lines: list[str]) -> None:
    """Append whole lines and make them durable."""
    if lines:
        with open(path, "a", encoding="utf-8") as handle:
            handle.write("".join(line + "\n" for line in lines))
            handle.flush()
            os.fsync(handle.fileno())


def complete_lines(path: Path) -> list[str]:
    """The lines of a file that end in a newline: a torn last line, left by a crash, is not one."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    return [line for line in text[: text.rfind("\n") + 1].split("\n") if line]


def is_disk_full(error: BaseException, folder: Path) -> bool:
    """Whether an error, or its cause, comes from a full disk.

    Libraries lose the errno (safetensors keeps only the message, torch.save not even that), so a failed write
    counts as well when the file system that holds `folder` has no room left.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in FULL:
            return True
        if any(words in str(seen) for words in ("No space left on device", "disk is full", "Disk quota exceeded")):
            return True
        seen = seen.__cause__ or seen.__context__
    try:
        return shutil.disk_usage(folder).free < NEARLY_FULL_BYTES
    except OSError:
        return False


def _is_forbidden(error: OSError, folder: Path) -> bool:
    place = os.path.abspath(error.filename) if isinstance(error.filename, str) else ""
    return error.errno in FORBIDDEN and Path(place).is_relative_to(os.path.abspath(folder))


@contextmanager
def refused_writes_are_user_errors(folder: Path, doing: str) -> Iterator[None]:
    """Turn a full disk or a lacking permission inside the block into one line; every other error passes unchanged.

    Raises:
        UserError: the disk that holds `folder` is full, or something in `folder` may not be written.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if is_disk_full(error, folder):
            raise UserError(
                f"no space left on the disk of {folder} while {doing}: "
                "free some space and run the same command again; every committed round is kept"
            ) from error
        if isinstance(error, OSError) and _is_forbidden(error, folder):
            raise UserError(
                f"{error.strerror} for {error.filename} while {doing}: "
                f"run the same command as the owner of {folder}, or get the right to write there"
            ) from error
        raise
