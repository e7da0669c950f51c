"""Digests of a round's files, so that a file that was cut or changed after its commit is found before it is used."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from superalign.errors import UserError
from superalign.store.disk import atomic_write

NAME = "digests.json"


def write_digests(folder: Path) -> None:
    """Write the SHA-256 of every file below a round's folder into `digests.json` there."""
    atomic_write(folder / NAME, json.dumps(_digests(folder), indent=2))


def check_digests(folder: Path) -> None:
    """Compare the files of a committed round with its digests; a round without them is taken as it is.

    Raises:
        UserError: a file is missing or differs; the message names the first one.
    """
    path = folder / NAME
    if not path.is_file():
        return
    try:
        committed = dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError:
        raise _changed(path) from None
    found = _digests(folder)
    for name, digest in committed.items():
        if found.get(name) != digest:
            raise _changed(folder / name)


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / NAME)
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in files}


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _changed(path: Path) -> UserError:
    state = "differs from what was committed" if path.is_file() else "was committed and is missing"
    return UserError(f"{path} {state}: restore it from a copy, or choose another run.name")
