"""Fingerprints of what a run reads: files by their bytes, folders of models in a time that does not grow with them."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Final

from superalign.store.digests import file_digest

MIB: Final = 2**20
WHOLE: Final = 256 * MIB  # of a model's file that is larger only parts are read
HEAD: Final = 8 * MIB  # where the header of a .safetensors file lies, which names every tensor
UNCOUNTED: Final = (".", "__pycache__")
BLOCKS: Final = 128  # of one MiB each, evenly over a large file


def file_fingerprint(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal; read once in a process while the file stays as it is."""
    return _of_file(*_identity(path), WHOLE, whole=True)


def folder_fingerprint(folder: Path, whole: bool = True) -> str:
    """The SHA-256 of the names and bytes of all files below a folder, in hexadecimal.

    Hidden files, notes (.md) and what Python compiles do not count. Without `whole`, of a file above 256 MiB only its
    size, its first 8 MiB and 128 blocks of 1 MiB are read: training changes every block, the edit of a single tensor
    could be missed.
    """
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and path.suffix != ".md" and not any(part.startswith(UNCOUNTED) for part in name.parts):
            total.update(f"{name.as_posix()}\0{_of_file(*_identity(path), WHOLE, whole)}\n".encode())
    return total.hexdigest()


def _identity(path: Path) -> tuple[str, int, int]:
    found = path.stat()
    return str(path.resolve()), found.st_size, found.st_mtime_ns


@functools.lru_cache(maxsize=4096)
def _of_file(path: str, size: int, modified: int, most: int, whole: bool) -> str:
    """Of one state of a file; `modified` is there to tell states apart."""
    if whole or size <= most:
        return file_digest(Path(path))
    total = hashlib.sha256(f"{size}\n".encode())
    with open(path, "rb") as handle:
        total.update(handle.read(HEAD))
        for block in range(BLOCKS):
            handle.seek((size - MIB) * block // (BLOCKS - 1))
            total.update(handle.read(MIB))
    return total.hexdigest()
