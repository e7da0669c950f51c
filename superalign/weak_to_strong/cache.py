"""Results filed by the content they were made from, so that weak labels and ceilings are trained once."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superalign import __version__
from superalign.records import content_id

Arrays = dict[str, NDArray[Any]]


class Cache:
    """A folder of .npz files named by a hash of everything that their arrays depend on.

    Safe to share between processes and runs: files are renamed into place, and equal content is made equally.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, what: str, parts: Mapping[str, object], make: Callable[[], Arrays]) -> Arrays:
        """The arrays filed under `what` and `parts`; made, and filed, where they are not there.

        A file that cannot be read (cut short by a full disk) is made again.
        """
        path = self.folder / what / f"{content_id(__version__, what, sorted(parts.items()))}.npz"
        if path.is_file():
            try:
                with np.load(path, allow_pickle=False) as found:
                    return {name: found[name] for name in found.files}
            except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
                path.unlink(missing_ok=True)
        arrays = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        return arrays
