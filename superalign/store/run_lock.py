"""Who may write a run folder: a sound name, one process at a time, the same configuration as before."""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from superalign.errors import UserError
from superalign.store.disk import FULL, refused_writes_are_user_errors
from superalign.store.renamed_settings import refuse_renamed

# May differ between a run and its resumption: none of them changes what is computed.
FREE_SECTIONS = frozenset({"run", "cluster", "track", "models"})
GROWING = frozenset({"rounds", "w2s.seeds"})  # a resumption may ask for more of them


def run_name(name: str | None, settings: Mapping[str, Any], root: Path) -> str:
    """The given name, checked, or else `<recipe>-<seed>-<timestamp>`.

    Raises:
        UserError: the name cannot be that of a folder.
    """
    if name is not None:
        if not re.fullmatch(r"[\w][\w.=,+@-]{0,199}", name):
            raise UserError(f"run.name={name!r} cannot name a folder: use letters, digits and . _ - = , + @ only")
        return name
    base = f"{recipe_name(settings['recipe'])}-{settings['seed']}-{time.strftime('%Y%m%d-%H%M%S')}"
    taken = sum(1 for _ in root.glob(f"{base}*")) if root.is_dir() else 0
    return f"{base}-{taken + 1}" if taken else base


def recipe_name(recipe: str) -> str:
    """What a recipe is called in the names of its runs: of a file its name without folder and suffix."""
    name = Path(recipe).stem if recipe.endswith(".py") else recipe.rpartition(".")[2]
    return re.sub(r"[^\w-]+", "-", name).lstrip("-") or "recipe"


def locked_folder(folder: Path) -> TextIO:
    """Make the folder if need be and take its lock, which the kernel frees when the process ends, however it ends.

    Raises:
        UserError: another process holds it (the message names its id), or the folder cannot be made.
    """
    with refused_writes_are_user_errors(folder.parent, "creating the run folder"):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = open(folder / ".lock", "a+", encoding="utf-8")  # noqa: SIM115 - held as long as the run is open
        except (FileExistsError, NotADirectoryError):
            raise UserError(f"{folder} is a file, or lies below one: choose another run.name or run.root") from None
        except PermissionError:
            raise UserError(f"no permission to write {folder}: choose another run.root") from None
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in FULL:
                raise
            reason = error.strerror if isinstance(error, OSError) else error
            raise UserError(f"{folder} cannot be made ({reason}): choose another run.root") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with refused_writes_are_user_errors(folder, "locking the run"):
            handle.truncate(0)
            handle.write(str(os.getpid()))
            handle.flush()
    except BlockingIOError:
        handle.seek(0)
        holder = handle.read().strip() or "of unknown id"
        handle.close()
        raise UserError(
            f"{folder} is in use by process {holder}: wait for it, stop it, or choose another run.name"
        ) from None
    except BaseException:
        handle.close()
        raise
    return handle


def writer_of(folder: Path) -> int | None:
    """The id of the process that has the run open for writing, None when nobody has."""
    try:
        with open(folder / ".lock", encoding="utf-8") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(handle.read().strip() or 0)
    except FileNotFoundError:
        pass
    return None


def check_same_settings(before: dict[str, Any], now: dict[str, Any], folder: Path, last_round: int | None) -> None:
    """Refuse a resumption that would compute something else; more rounds may be asked for.

    Raises:
        UserError: naming the first key that differs and both values, or one that has another name by now.
    """
    remedy = "resume it with that version, or choose another run.name"
    refuse_renamed(before, f"{folder} was started by an earlier version", remedy)
    old, new = (
        _flat({key: value for key, value in each.items() if key not in FREE_SECTIONS}) for each in (before, now)
    )
    for key in dict.fromkeys([*new, *old]):
        was, is_now = old.get(key, "unset"), new.get(key, "unset")
        grows = key in GROWING and is_now >= max(was, last_round or 0)
        if was != is_now and not grows:
            raise UserError(
                f"{folder} was started with {key}={was} and now {key}={is_now}: "
                "resume it with the old value, or choose another run.name"
            )


def asks_for_more(before: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether a complete run is not complete any more with these settings."""
    old, new = _flat(before), _flat(now)
    return any(key in new and new[key] > old.get(key, 0) for key in GROWING)


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    return {
        key: leaf for name, inner in value.items() for key, leaf in _flat(inner, f"{prefix}.{name}".strip(".")).items()
    }
